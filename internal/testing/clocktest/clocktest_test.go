package clocktest

import (
	"testing"
	"time"
)

// TestClock: a step changes the date and no interval.
func TestClock(t *testing.T) {
	c := New()
	for _, by := range []time.Duration{time.Hour, -2 * time.Hour, 365 * 24 * time.Hour} {
		before := c.Now()
		c.Step(by)
		after := c.Now()
		if d := after.Round(0).Sub(before.Round(0)) - by; d < 0 || d > time.Minute {
			t.Errorf("stepped by %v, the date changes by %v", by, by+d)
		}
		if d := after.Sub(before); d < 0 || d > time.Minute {
			t.Errorf("stepped by %v, an interval is %v", by, d)
		}
	}
}
