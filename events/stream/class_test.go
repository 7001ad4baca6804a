package stream

import (
	"fmt"
	"testing"
	"time"
)

// TestTurns holds Events 184: clients of a class that were told something a moment ago wait for its next turn, the
// longer the more clients there are, and for nothing where it was quiet. The turns of classes lie apart.
func TestTurns(t *testing.T) {
	h := &Hub{began: time.Now()}
	for _, test := range []struct {
		clients, phase int
		at, told       time.Duration // since the hub began
		want           time.Duration
	}{
		{100, 0, time.Second, time.Second, 0},
		{10_000, 0, time.Second, time.Second - 150*time.Millisecond, 0},
		{10_000, 0, time.Second, time.Second, 50 * time.Millisecond}, // 7 turns of 150 ms
		{10_000, 0, time.Second, time.Second - 149*time.Millisecond, 50 * time.Millisecond},
		{10_000, 1, time.Second, time.Second, 40625 * time.Microsecond},
		{10_000, 15, time.Second, time.Second, 59375 * time.Microsecond},
		{1_000_000, 0, time.Second, time.Second, 50 * time.Millisecond},
		{1000, 0, time.Second, time.Second, 5 * time.Millisecond}, // 67 turns of 15 ms
	} {
		t.Run(fmt.Sprintf("Events 184: %d clients, phase %d, told %v ago", test.clients, test.phase, test.at-test.told), func(t *testing.T) {
			h.stats.clients.Store(int64(test.clients))
			c := &class{hub: h, phase: time.Duration(test.phase), told: h.began.Add(test.told)}
			if got := c.turn(h.began.Add(test.at)); got != test.want {
				t.Errorf("waits %v, want %v", got, test.want)
			}
		})
	}
}

// TestKeptRuns bounds what a class keeps, and all classes do.
func TestKeptRuns(t *testing.T) {
	h := &Hub{}
	one, two := &class{hub: h}, &class{hub: h}
	for i := range keptRuns + 3 {
		one.keepRuns([]sharedRun{{first: uint64(i)}}, keptRuns)
	}
	two.keepRuns(make([]sharedRun, 5), keptRuns)
	if n := h.stats.runs.Load(); len(one.runs) != keptRuns || one.runs[0].first != 3 || n != keptRuns+5 {
		t.Errorf("%d runs from %d on, %d counted", len(one.runs), one.runs[0].first, n)
	}
	one.keepRuns(nil, 0)
	if n := h.stats.runs.Load(); len(one.runs) != 0 || n != 5 {
		t.Errorf("%d runs, %d counted", len(one.runs), n)
	}
	h.stats.runs.Store(allRuns)
	if runs := one.share([]*entry{{}}); runs != nil {
		t.Errorf("made %d runs beyond those of all classes", len(runs))
	}
}

// TestFirstRun bounds what is sent at once.
func TestFirstRun(t *testing.T) {
	of := func(n, size int) (all []*entry) {
		for range n {
			all = append(all, &entry{size: overhead + size})
		}
		return all
	}
	for _, test := range []struct{ n, size, want int }{
		{1, 10 * runBytes, 1}, {2, runBytes, 1}, {5, runBytes / 2, 2}, {3, 1, 3}, {runEvents + 9, 1, runEvents},
	} {
		if got := len(firstRun(of(test.n, test.size))); got != test.want {
			t.Errorf("%d of %d bytes: %d at once, want %d", test.n, test.size, got, test.want)
		}
	}
}
