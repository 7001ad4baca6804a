// Package poll lets tests wait for what says nothing when it happens, and for
// no longer than that takes. It knows no test's matter.
//
//	poll.Until(t, "the call to reach the backend", func() bool { return calls.Load() > 0 })
package poll

import (
	"testing"
	"time"
)

const (
	// patience is more than any machine needs; only a failing test sees its end.
	patience = time.Minute
	interval = 2 * time.Millisecond
)

// Until returns when ok says yes, and fails the test if that does not happen
// within a minute. what is what is waited for.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !Within(patience, ok) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// Within reports whether ok says yes in time. It is asked every two milliseconds,
// and at least once.
func Within(d time.Duration, ok func() bool) bool {
	tick, end := time.NewTicker(interval), time.NewTimer(d)
	defer tick.Stop()
	defer end.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			return ok()
		}
	}
	return true
}
