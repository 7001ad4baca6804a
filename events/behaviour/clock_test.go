package behaviour

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/testing/clocktest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestClockSteps: Events 198: an event is remembered for ten minutes, also when somebody has set the gateway's clock.
func TestClockSteps(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 366 * 24 * time.Hour, -366 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			clock, m := clocktest.New(), NewMemory()
			e := &transomv1.UserEvent{MessageId: "one"}
			m.seen(e, clock.Now())
			clock.Step(by)
			time.Sleep(Window - time.Second)
			if _, again := m.seen(e, clock.Now()); !again {
				t.Errorf("%v: it is forgotten after %v", by, Window-time.Second)
			}
			time.Sleep(time.Second)
			if _, again := m.seen(e, clock.Now()); again {
				t.Errorf("%v: it is remembered for longer than %v", by, Window)
			}
		})
	}
}
