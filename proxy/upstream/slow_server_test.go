package upstream

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowServer: Traffic 164: with one of ten servers ten times as slow, least_request keeps
// calls away from it: of its calls, the time that 1 % exceed is 0.35 times that of
// round_robin at most. The time is not the machine's.
func TestSlowServer(t *testing.T) {
	roundRobin, _ := slowServer(t, "round_robin")
	leastRequest, share := slowServer(t, "least_request")
	t.Logf("99 of 100 calls take %v by round_robin, %v by least_request, by which %.1f %% are made at the slow server", roundRobin, leastRequest, share*100)
	if leastRequest > roundRobin*35/100 {
		t.Errorf("99 of 100 calls take %v, by round_robin %v; want 0.35 times that at most", leastRequest, roundRobin)
	}
}

// slowServer makes calls at ten servers, of which the first is slow, and returns the time
// in which 99 of 100 are answered, and the share that the slow one had.
func slowServer(t *testing.T, policy string) (p99 time.Duration, share float64) {
	const calls, callers, latency = 40_000, 40, 10 * time.Millisecond
	endpoints := endpointsOf(connectedEndpoint(t, 10), 10)
	p := balancers[policy](nil).picker(endpoints)
	var mu sync.Mutex
	var took []time.Duration
	atSlow := 0.0
	synctest.Test(t, func(*testing.T) {
		var work sync.WaitGroup
		for i := range callers {
			random := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // no secret
			work.Go(func() {
				for range calls / callers {
					e, mean := p.Pick(0, nil), latency
					if e == endpoints[0] {
						mean *= 10
					}
					e.active.Add(1)
					d := time.Duration(-math.Log(1-random.Float64()) * float64(mean))
					time.Sleep(d)
					e.active.Add(-1)
					mu.Lock()
					took = append(took, d)
					if e == endpoints[0] {
						atSlow++
					}
					mu.Unlock()
				}
			})
		}
		work.Wait()
	})
	slices.Sort(took)
	return took[len(took)*99/100], atSlow / calls
}
