package upstream

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// connectedEndpoint is an endpoint with one connection, to a server that takes so many
// streams at once.
func connectedEndpoint(t testing.TB, streams uint32) *Endpoint {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fr := http2.NewFramer(far, far)
		_, _ = far.Read(make([]byte, len(http2.ClientPreface)))
		for range 2 {
			_, _ = fr.ReadFrame()
		}
		_ = fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: streams})
		for {
			if _, err := fr.ReadFrame(); err != nil {
				return
			}
		}
	}()
	e := new(Endpoint)
	conn, err := transport.New(t.Context(), near, transport.Options{Pool: proxy.Buffers, Loads: []*atomic.Int64{&e.active}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-conn.Done()
		_ = far.Close()
		<-done
	})
	e.ready.Store(&[]*transport.Conn{conn})
	return e
}

// TestPick: Traffic 73, 163: a pick avoids what is full, and what was tried while
// anything else has room.
func TestPick(t *testing.T) {
	a, b, full := connectedEndpoint(t, 10), connectedEndpoint(t, 10), connectedEndpoint(t, 0)
	for _, test := range []struct {
		name             string
		endpoints, tried []*Endpoint
		want             map[*Endpoint]int // picks of each, of 12
	}{
		{"in turn", []*Endpoint{a, b}, nil, map[*Endpoint]int{a: 6, b: 6}},
		{"one is full", []*Endpoint{a, full}, nil, map[*Endpoint]int{a: 12}},
		{"one was tried", []*Endpoint{a, b}, []*Endpoint{b}, map[*Endpoint]int{a: 12}},
		{"all were tried", []*Endpoint{a, b}, []*Endpoint{b, a}, map[*Endpoint]int{a: 6, b: 6}},
		{"the other one is full", []*Endpoint{a, full}, []*Endpoint{a}, map[*Endpoint]int{a: 12}},
		{"all are full", []*Endpoint{full, full}, nil, map[*Endpoint]int{nil: 12}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := new(roundRobin).picker(test.endpoints)
			got := map[*Endpoint]int{}
			for range 12 {
				got[p.Pick(0, test.tried)]++
			}
			if len(got) != len(test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
			for e, n := range test.want {
				if got[e] != n {
					t.Errorf("picked %d times, want %d", got[e], n)
				}
			}
			if n := testing.AllocsPerRun(100, func() { p.Pick(0, test.tried) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// TestWeights: Traffic 165: each endpoint gets its share, and not many times in a row.
func TestWeights(t *testing.T) {
	for _, test := range []struct {
		weights []uint32
		order   string // of round_robin; "" for any
	}{
		{[]uint32{1, 1, 1}, "abcabcabcabc"},
		{[]uint32{7, 7}, "abababababab"},
		{[]uint32{5, 1, 1}, "aabacaaaabac"},
		{[]uint32{200, 100}, "abaabaabaaba"},
		{[]uint32{math.MaxUint32, 1}, ""},
		{[]uint32{1000, 999, 998}, ""},
	} {
		var endpoints []*Endpoint
		total := 0.0
		for _, w := range test.weights {
			e := connectedEndpoint(t, 10)
			e.weight.Store(w)
			endpoints = append(endpoints, e)
			total += float64(w)
		}
		t.Run(fmt.Sprint("round robin ", test.weights), func(t *testing.T) {
			r := new(roundRobin)
			r.next.Store(math.MaxUint32) // the first is 0
			p := r.picker(endpoints)
			var order strings.Builder
			for range 12 {
				order.WriteByte("abc"[slices.Index(endpoints, p.Pick(0, nil))])
			}
			if test.order != "" && order.String() != test.order {
				t.Errorf("picked %s, want %s", order.String(), test.order)
			}
		})
		for name, b := range map[string]balancer{"round robin": new(roundRobin), "random": random{}} {
			t.Run(fmt.Sprint(name, "'s shares ", test.weights), func(t *testing.T) {
				const picks = 120_000
				p := b.picker(endpoints)
				got := map[*Endpoint]int{}
				for range picks {
					got[p.Pick(0, nil)]++
				}
				for i, e := range endpoints {
					want := float64(test.weights[i]) / total
					if share := float64(got[e]) / picks; math.Abs(share-want) > 0.01 {
						t.Errorf("endpoint %d has %.3f of the calls, want %.3f", i, share, want)
					}
				}
			})
		}
	}
}

// TestLeastRequest: Traffic 164: of two, the one with fewer calls for its weight.
func TestLeastRequest(t *testing.T) {
	idle, busy, heavy := connectedEndpoint(t, 100), connectedEndpoint(t, 100), connectedEndpoint(t, 100)
	idle.weight.Store(1)
	busy.weight.Store(1)
	heavy.weight.Store(10)
	hold := func(e *Endpoint, n int) {
		for range n {
			if _, err := e.conn().Open(t.Context(), &transport.Request{Method: "/test.Test/Stream", Limit: 1 << 20}); err != nil {
				t.Fatal(err)
			}
		}
	}
	hold(busy, 3)
	hold(heavy, 3)
	for _, test := range []struct {
		name      string
		endpoints []*Endpoint
		want      *Endpoint
	}{
		{"fewer calls", []*Endpoint{busy, idle}, idle},
		{"more weight", []*Endpoint{idle, heavy}, heavy},
		{"more weight, as many calls", []*Endpoint{heavy, busy}, heavy},
	} {
		p := leastRequest{}.picker(test.endpoints)
		for range 20 {
			if p.Pick(0, nil) != test.want {
				t.Errorf("%s: the other one was picked", test.name)
			}
		}
		if p.Pick(0, []*Endpoint{test.want}) == test.want {
			t.Errorf("%s: one that was tried is picked again", test.name)
		}
	}
}

// BenchmarkPick: Traffic 163: a pick takes 20 ns at most at 10 endpoints, 40 ns at 1,000, and
// no memory.
func BenchmarkPick(b *testing.B) {
	for _, n := range []int{2, 10, 1000} {
		endpoints := endpointsOf(connectedEndpoint(b, 100), n)
		for name, balancer := range map[string]balancer{"round_robin": new(roundRobin), "least_request": leastRequest{}, "random": random{}, "hash": newHashed()} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				p := balancer.picker(endpoints)
				k := CallKeyOf("user-1")
				b.ReportAllocs()
				for b.Loop() {
					p.Pick(k, nil)
					k = k*3 + 1
				}
			})
		}
	}
}
