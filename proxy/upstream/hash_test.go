package upstream

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/proxy/transport"
)

// endpointsOf are n endpoints with the connection of one.
func endpointsOf(one *Endpoint, n int) (all []*Endpoint) {
	for i := range n {
		e := &Endpoint{id: uint64(CallKeyOf(fmt.Sprintf("10.0.%d.%d:80", i/256, i%256)))}
		e.ready.Store(one.ready.Load())
		e.weight.Store(1)
		e.ramp.Store(fullRamp)
		all = append(all, e)
	}
	return all
}

func newHashed() *hashed { return &hashed{load: new(atomic.Int64)} }

const manyKeys = 20_000

// homes are the endpoints at which many keys are.
func homes(p Picker) []*Endpoint {
	all := make([]*Endpoint, manyKeys)
	for i := range all {
		all[i] = p.Pick(CallKeyOf("user-"+strconv.Itoa(i)), nil)
	}
	return all
}

// TestHashMoves: Traffic 166: when one of n endpoints leaves, at most 1/n and 2 % of the
// keys find another one; so when it comes back; and all have the same share.
func TestHashMoves(t *testing.T) {
	one := connectedEndpoint(t, 10)
	for _, n := range []int{2, 3, 10, maxRendezvous, maxRendezvous + 1, maxRendezvous + 2, 300} {
		endpoints := endpointsOf(one, n)
		b := newHashed()
		before := homes(b.picker(endpoints))
		share := map[*Endpoint]int{}
		for _, e := range before {
			share[e]++
		}
		for i, e := range endpoints {
			if even := manyKeys / float64(n); math.Abs(float64(share[e])-even) > 0.1*even+6*math.Sqrt(even) {
				t.Errorf("%d endpoints: the one of index %d has %d keys of %d", n, i, share[e], manyKeys)
			}
		}
		for _, gone := range []int{0, n / 2, n - 1} {
			moved := 0
			for i, e := range homes(b.picker(slices.Delete(slices.Clone(endpoints), gone, gone+1))) {
				if e != before[i] {
					moved++
				}
			}
			if limit := manyKeys * (1/float64(n) + 0.02); float64(moved) > limit {
				t.Errorf("%d endpoints: %d of %d keys have moved as one leaves, want at most %.0f", n, moved, manyKeys, limit)
			}
			if moved < share[endpoints[gone]] {
				t.Errorf("%d endpoints: %d keys have moved, but the one that left had %d", n, moved, share[endpoints[gone]])
			}
		}
	}
}

// TestHashWeights: Traffic 165, 166: an endpoint has keys by its weight.
func TestHashWeights(t *testing.T) {
	endpoints := endpointsOf(connectedEndpoint(t, 10), 4)
	weights := []float64{1, 2, 3, 10}
	for i, e := range endpoints {
		e.weight.Store(uint32(weights[i]))
	}
	share := map[*Endpoint]float64{}
	for _, e := range homes(newHashed().picker(endpoints)) {
		share[e]++
	}
	for i, e := range endpoints {
		if got, want := share[e]/manyKeys, weights[i]/16; math.Abs(got-want) > 0.02 {
			t.Errorf("the endpoint of weight %v has %.3f of the keys, want %.3f", weights[i], got, want)
		}
	}
}

// TestHashPick: Traffic 163, 166: a key's endpoint gets its calls, and where that is full,
// tried or above its share of the load, always the same other one does.
func TestHashPick(t *testing.T) {
	for _, n := range []int{3, maxRendezvous + 1} {
		t.Run(fmt.Sprint(n, " endpoints"), func(t *testing.T) {
			var load atomic.Int64
			endpoints := endpointsOf(connectedEndpoint(t, 1000), n)
			full := connectedEndpoint(t, 0)
			p := (&hashed{load: &load}).picker(endpoints)
			k := CallKeyOf("a")
			first := p.Pick(k, nil)
			second := p.Pick(k, []*Endpoint{first})
			if first == second {
				t.Fatal("an endpoint that was tried is picked again")
			}
			if n := testing.AllocsPerRun(100, func() { p.Pick(k, nil) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
			shared := first.ready.Load()
			first.ready.Store(full.ready.Load())
			if p.Pick(k, nil) != second {
				t.Error("full: another one than the second choice is picked")
			}
			first.ready.Store(shared)
			first.active.Store(2)
			// Of so many calls, with this one, 1.25 times its share is more than two, or not.
			enough := int64(math.Floor(float64(2*n)/1.25)) + 1
			if load.Store(enough - 1); p.Pick(k, nil) != first {
				t.Error("the endpoint is within its share, but is not picked")
			}
			if load.Store(enough - 2); p.Pick(k, nil) != second {
				t.Error("the endpoint is above its share, but is picked")
			}
			first.active.Store(0)
			if load.Store(0); p.Pick(k, nil) != first {
				t.Error("the key does not come back")
			}
			for _, e := range endpoints {
				e.ready.Store(full.ready.Load())
			}
			if e := p.Pick(k, nil); e != nil {
				t.Error("all are full, and one is picked")
			}
		})
	}
}

// TestHashWithoutKey: Traffic 166: calls without a key go where there are fewer calls.
func TestHashWithoutKey(t *testing.T) {
	endpoints := []*Endpoint{connectedEndpoint(t, 10), connectedEndpoint(t, 10)}
	for _, e := range endpoints {
		e.weight.Store(1)
	}
	if _, err := endpoints[0].conn().Open(t.Context(), &transport.Request{Method: "/test.Test/Stream", Limit: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	p := newHashed().picker(endpoints)
	for range 20 {
		if p.Pick(0, nil) != endpoints[1] {
			t.Fatal("the one with a call under way is picked")
		}
	}
}

// TestHashSlowStart: Traffic 168: an endpoint that is young refuses the keys beyond its
// share, and keeps those that it has as the share grows.
func TestHashSlowStart(t *testing.T) {
	endpoints := endpointsOf(connectedEndpoint(t, 10), 4)
	young := endpoints[2]
	p := newHashed().picker(endpoints)
	full := homes(p)
	var before []*Endpoint
	for _, part := range []float64{0.1, 0.25, 0.5, 1} {
		young.ramp.Store(uint32(part * fullRamp))
		now, has, would := homes(p), 0.0, 0.0
		for i, e := range now {
			switch {
			case full[i] != young && e != full[i]:
				t.Fatal("a key of another endpoint has moved")
			case before != nil && before[i] == young && e != young:
				t.Fatal("a key has left the endpoint as its share has grown")
			}
			if full[i] == young {
				would++
				if e == young {
					has++
				}
			}
		}
		if math.Abs(has/would-part) > 0.03 {
			t.Errorf("at a share of %v it has %.3f of its keys", part, has/would)
		}
		before = now
	}
}

// TestKeyOf: Traffic 166: keys are the same in all processes, and never zero.
func TestKeyOf(t *testing.T) {
	if got, want := CallKeyOf("user-1"), CallKey(12240928324079075907); got != want {
		t.Errorf("%d, want %d", got, want)
	}
	if CallKeyOf("user-1") != CallKeyOf([]byte("user-1")) || CallKeyOf("") == 0 || CallKeyOf("user-1") == CallKeyOf("user-2") {
		t.Error("keys of equal texts differ, or those of others do not")
	}
	long := string(make([]byte, maxKeyed))
	if CallKeyOf(long+"a") == CallKeyOf(long+"ab") {
		t.Error("the length of a long text is not in its key")
	}
}

// TestHashWeightsChange: Traffic 166: where an endpoint has more weight than before,
// keys move to that one alone.
func TestHashWeightsChange(t *testing.T) {
	endpoints := endpointsOf(connectedEndpoint(t, 10), 10)
	b := newHashed()
	before := homes(b.picker(endpoints))
	endpoints[3].weight.Store(2)
	for i, e := range homes(b.picker(endpoints)) {
		if e != before[i] && e != endpoints[3] {
			t.Fatal("a key has moved to an endpoint whose weight is as before")
		}
	}
}
