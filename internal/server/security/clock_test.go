package security

import (
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/clocktest"
)

// TestClockStepsAndFiles: files are looked at once a second, also when somebody has set the machine's clock.
func TestClockStepsAndFiles(t *testing.T) {
	clock := clocktest.New()
	fleet, err := NewFleet("", folder(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &Security{fleet: fleet, begun: clock.Now()}
	s.looked.Store(-int64(lookInterval))
	for i, by := range []time.Duration{0, time.Hour, -time.Hour, 366 * 24 * time.Hour, -366 * 24 * time.Hour} {
		clock.Step(by)
		now := clock.Now().Add(time.Duration(i) * lookInterval)
		before := s.looked.Load()
		if s.look(now); s.looked.Load() == before {
			t.Errorf("after a step of %v nobody looks", by)
		}
		after := s.looked.Load()
		if s.look(now.Add(lookInterval / 2)); s.looked.Load() != after {
			t.Errorf("after a step of %v somebody looks twice within %v", by, lookInterval)
		}
	}
}
