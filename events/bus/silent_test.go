package bus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/events"
)

// unhurried is a sink that takes its time for each event.
type unhurried struct{ each time.Duration }

func (s unhurried) Send(ctx context.Context, batch []*events.Event, errs []error) {
	s.SendTelling(ctx, batch, errs, func(int) {})
}

func (s unhurried) SendTelling(ctx context.Context, batch []*events.Event, errs []error, taken func(i int)) {
	for i := range batch {
		select {
		case <-time.After(s.each):
			taken(i)
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
}

func (unhurried) Close() error { return nil }

// TestSilentSink: Events 159: a sink that says nothing is told of before it fails; one that is slow and goes forward is not.
func TestSilentSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := opened(t, t.TempDir())
		publisher := p.Publisher(p.Add("silent", unhurried{time.Hour}), p.Add("slow", unhurried{4 * time.Second}))
		if err := publisher.Store(t.Context(), event("1")); err != nil {
			t.Fatal(err)
		}
		store(t, publisher, "2", "3", "4")
		began := time.Now()
		for _, test := range []struct {
			after  time.Duration
			silent bool
		}{{4 * time.Second, false}, {6 * time.Second, true}, {15 * time.Second, true}} {
			time.Sleep(time.Until(began.Add(test.after)))
			synctest.Wait()
			for _, s := range p.Status().Sinks {
				want := test.silent && s.Name == "silent"
				if !s.Silent.IsZero() != want || want && !s.Silent.Equal(began) || s.Failure != nil {
					t.Errorf("after %s: %+v", test.after, s)
				}
			}
		}
		time.Sleep(time.Minute)
		if s := p.Status().Sinks[1]; s.Name != "slow" || !s.Silent.IsZero() || s.Lag != 0 {
			t.Errorf("when all is done: %+v", s)
		}
	})
}
