package attempt_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/attempt"
)

// TestHedgeShare: Traffic 78: hedges by a percentile are at most the share of the calls
// of the last minute that it leaves, however many take longer.
func TestHedgeShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l attempt.Latency
		hedges := func(calls int) (n int) {
			for range calls {
				l.Began()
				if l.MayHedge(95) {
					n++
				}
				time.Sleep(time.Millisecond)
			}
			return n
		}
		if l.MayHedge(95) {
			t.Error("a hedge without a call")
		}
		for minute := range 3 {
			if n := hedges(60_000); n > 3000 || n < 2900 {
				t.Errorf("minute %d: %d hedges beside 60000 calls that all ask for one", minute, n)
			}
		}
		// What was not used is forgotten with the calls it was of.
		for range 1000 {
			l.Began()
		}
		time.Sleep(2 * time.Minute)
		if n := hedges(100); n != 5 {
			t.Errorf("%d hedges beside 100 calls", n)
		}
	})
}

// TestHedgeShareAtOnce: Traffic 78: those who ask at once are together allowed no more.
func TestHedgeShareAtOnce(t *testing.T) {
	var l attempt.Latency
	for range 2000 {
		l.Began()
	}
	var n atomic.Int32
	var asking sync.WaitGroup
	for range 64 {
		asking.Go(func() {
			for range 50 {
				if l.MayHedge(99) {
					n.Add(1)
				}
			}
		})
	}
	asking.Wait()
	for l.MayHedge(99) { // Those who ask at once may refuse each other.
		n.Add(1)
	}
	if n.Load() != 20 {
		t.Errorf("%d hedges beside 2000 calls, want 20", n.Load())
	}
}

// TestHedgesOfSlowBackend: Traffic 78: where a backend becomes slow all at once, 5 % of
// the calls are hedged, not all of them.
func TestHedgesOfSlowBackend(t *testing.T) {
	server := new(scripted)
	r := usual()
	r.Attempts, r.BudgetPercent = 2, 100
	r.Hedge = &attempt.Hedge{Percentile: 95, Latency: new(attempt.Latency)}
	g := attempt.NewGRPC(connectAll(t, server, 2), 1<<20).Retrying(&r)
	for range 100 {
		if got, _, err := callUnary(t.Context(), g); got.text != "x" {
			t.Fatal(err)
		}
	}
	poll.Until(t, "the delay to be known", func() bool { return r.Hedge.Latency.Quantile(95) > 0 })
	server.mu.Lock()
	for range 100 {
		server.script = append(server.script, step{when: never})
	}
	server.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var calls sync.WaitGroup
	var hedged atomic.Int32
	for range 20 {
		calls.Go(func() {
			_, tries, _ := callUnary(ctx, g)
			hedged.Add(int32(tries.Hedged))
		})
	}
	calls.Wait()
	if n := hedged.Load(); n < 1 || n > 6 {
		t.Errorf("%d hedges beside 120 calls, want 6", n)
	}
}
