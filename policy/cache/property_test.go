package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/policy"
)

// noStaleRead has readers and writers of a few names run for a number of steps: no read that
// begins after a write was answered sees what was there before (Traffic 127).
func noStaleRead(t *testing.T, seed uint64) {
	b := newBench(t)
	var values, answered [3]atomic.Int64
	pause := func(random *rand.Rand) { // others get their turn
		for range random.IntN(20) {
			runtime.Gosched()
		}
	}
	index := func(request string) int { return int(request[2] - '0') }
	read := &server{answer: func(_ context.Context, n int, request string) (string, metadata.MD, error) {
		random := rand.New(rand.NewPCG(seed, uint64(n))) //nolint:gosec // a count
		pause(random)
		text := strconv.FormatInt(values[index(request)].Load(), 10)
		pause(random)
		return text, nil, nil
	}}
	write := &server{answer: func(_ context.Context, _ int, request string) (string, metadata.MD, error) {
		values[index(request)].Add(1)
		return "", nil, nil
	}}
	get := b.method("Get", `cache { ttl { seconds: 60 } stale_while_revalidate { seconds: 60 } tags: "{name}" }`, read)
	put := b.method("Put", `cache { invalidates: "{name}" }`, write)
	var all sync.WaitGroup
	for worker := range uint64(6) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1000+worker))
			for range 150 {
				i := random.IntN(3)
				name := strconv.Itoa(i)
				switch n := random.IntN(10); {
				case n == 0 && worker < 3: // each name has one writer
					i = int(worker)
					put.get(strconv.Itoa(i))
					answered[i].Add(1)
				case n == 1:
					b.clock.Advance(30 * time.Second)
				default:
					least := answered[i].Load()
					got, _ := strconv.ParseInt(get.get(name), 10, 64)
					if got < least {
						t.Errorf("seed %d: a read of %s saw %d after the write of %d was answered", seed, name, got, least)
					}
				}
			}
		})
	}
	all.Wait()
}

// TestNoStaleRead: Traffic 127: no read after a write's answer sees the old value.
func TestNoStaleRead(t *testing.T) {
	for seed := range uint64(10) {
		noStaleRead(t, seed)
	}
}

// FuzzNoStaleRead is TestNoStaleRead with any seed.
func FuzzNoStaleRead(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { noStaleRead(t, seed) })
}

// FuzzPrincipals: Traffic 116: whatever callers are called and whatever they send and get,
// nobody gets what another principal's call was answered.
func FuzzPrincipals(f *testing.F) {
	f.Add("ada", "eve", "a", "b", "", "", "max-age=60", "x-a")
	f.Add("a", "ab", "b", "", "r", "", "public, max-age=60", "accept")
	f.Add("a\x01b", "a", "x", "x", "", "b", "s-maxage=5, stale-while-revalidate=9", "")
	f.Fuzz(func(t *testing.T, one, two, name, other, role, header, control, vary string) {
		s := &server{answer: func(ctx context.Context, _ int, _ string) (string, metadata.MD, error) {
			return policy.RequestOf(ctx).Identity.Principal, metadata.Pairs("cache-control", control, "vary", vary), nil
		}}
		b := newBench(t)
		m := b.method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } stale_if_error { seconds: 60 } vary: "x-b" }`, s)
		random := rand.New(rand.NewPCG(uint64(len(one)), uint64(len(two))))
		var all sync.WaitGroup
		for range 40 {
			who, what, text := []string{one, two}[random.IntN(2)], []string{name, other}[random.IntN(2)], []string{"", header}[random.IntN(2)]
			r := as(who, func(id *policy.Identity) {
				if random.IntN(2) == 0 {
					id.Roles = []string{role}
				}
			})
			r.HTTP.Header["X-A"], r.HTTP.Header["X-B"] = []string{text}, []string{text}
			if random.IntN(10) == 0 {
				b.clock.Advance(40 * time.Second)
			}
			all.Go(func() {
				if got := m.call(context.Background(), r, ask(what)); got != who {
					t.Errorf("%q got %q's answer", who, got)
				}
			})
		}
		all.Wait()
	})
}

// TestNoAnswerCrossesPrincipals: Traffic 116: FuzzPrincipals with fixed seeds.
func TestNoAnswerCrossesPrincipals(t *testing.T) {
	b, s := newBench(t), &server{answer: func(ctx context.Context, _ int, _ string) (string, metadata.MD, error) {
		return policy.RequestOf(ctx).Identity.Principal, metadata.Pairs("cache-control", "public, max-age=60"), nil
	}}
	m := b.method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } }`, s)
	random := rand.New(rand.NewPCG(1, 16))
	for range 5000 {
		who := fmt.Sprint(random.IntN(50))
		if got := m.call(context.Background(), as(who), ask(fmt.Sprint(random.IntN(20)))); got != who {
			t.Fatalf("%q got %q's answer", who, got)
		}
	}
}
