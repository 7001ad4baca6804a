package store

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/testing/clocktest"
)

// steps are what somebody may set a clock forward by, or back.
var steps = []time.Duration{time.Hour, -time.Hour, 366 * 24 * time.Hour, -366 * 24 * time.Hour}

// TestClockStepsWhileRedisIsAway: Traffic 97: a Redis that is back is used, whatever becomes of the gateway's clock.
func TestClockStepsWhileRedisIsAway(t *testing.T) {
	for _, by := range steps {
		synctest.Test(t, func(t *testing.T) {
			clock := clocktest.New()
			h := NewHealth(clock.Now, func() bool { return true })
			h.Failed()
			clock.Step(by)
			if h.Ask() {
				t.Errorf("%v: asked before the pause was over", by)
			}
			time.Sleep(healthPause)
			h.Ask() // has it probed
			synctest.Wait()
			if !h.Ask() {
				t.Errorf("%v: a Redis that is back is not asked", by)
			}
		})
	}
}

// TestClockStepsAndTheLog: the log tells of a Redis that is away once a minute, whatever becomes of the gateway's
// clock, and one that was a replica for a moment counts as usable again.
func TestClockStepsAndTheLog(t *testing.T) {
	for _, by := range steps {
		synctest.Test(t, func(t *testing.T) {
			clock, text, why := clocktest.New(), &logText{}, ""
			l := &storeLog{log: slog.New(slog.NewTextHandler(text, nil)), now: clock.Now, begun: clock.Now(), timeout: time.Second, report: func(w string) { why = w }}
			fail := func() int {
				l.note(errors.New("READONLY it is a replica"), clock.Now())
				return len(text.lines())
			}
			if n := fail(); n != 1 {
				t.Errorf("%v: %d lines at first", by, n)
			}
			clock.Step(by)
			if n := fail(); n != 0 {
				t.Errorf("%v: %d lines more within a minute", by, n)
			}
			time.Sleep(storeReminder)
			if n := fail(); n != 1 {
				t.Errorf("%v: %d lines after a minute", by, n)
			}
			clock.Step(by)
			time.Sleep(replicaPause)
			if l.note(nil, clock.Now()); why != "" {
				t.Errorf("%v: it counts as away: %s", by, why)
			}
		})
	}
}
