package keys

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/testing/clocktest"
)

// TestClockSteps: Traffic 93, 95: a key in memory is there for its ttl, and the log says once a minute that the
// memory is full, also when somebody has set the gateway's clock.
func TestClockSteps(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 366 * 24 * time.Hour, -366 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			clock, text := clocktest.New(), &bytes.Buffer{}
			m := &memory{now: clock.Now, log: slog.New(slog.NewTextHandler(text, nil)), max: 1 << 20, owners: map[Digest]int64{}, all: map[Digest]*entry{}}
			c := keyed("key", "one", "request")
			lease, _, err := m.Begin(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			lease.End(&Record{State: Answered, Fingerprint: c.Fingerprint}, time.Minute)
			clock.Step(by)
			time.Sleep(time.Minute - time.Second)
			if _, kept, err := m.Begin(t.Context(), c); err != nil || kept == nil {
				t.Errorf("%v: before its time is over: %+v, %v", by, kept, err)
			}
			time.Sleep(time.Second)
			lease, kept, err := m.Begin(t.Context(), c)
			if err != nil || kept != nil {
				t.Fatalf("%v: after its time is over: %+v, %v", by, kept, err)
			}
			lease.End(nil, time.Minute)

			lines := func() int {
				defer text.Reset()
				m.warn("full")
				return bytes.Count(text.Bytes(), []byte("\n"))
			}
			for range 2 {
				if n := lines(); n != 1 {
					t.Errorf("%v: %d lines after a minute", by, n)
				}
				clock.Step(by)
				if n := lines(); n != 0 {
					t.Errorf("%v: %d lines within a minute", by, n)
				}
				time.Sleep(reminder)
			}
		})
	}
}
