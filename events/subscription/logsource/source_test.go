package logsource_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/events/subscription/logsource"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

func opened(t *testing.T) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Options{Directory: t.TempDir(), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	return b
}

func store(t *testing.T, b *bus.Bus, all ...*events.Event) {
	t.Helper()
	p := b.Publisher()
	defer func() { _ = p.Close() }()
	for _, e := range all {
		e.Source, e.Type, e.DataContentType = "/s", "t", events.JSON
		if err := p.Store(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhereItBegins: Events 173 and 174: a subscription that is new begins where it is told, be that a time, and is moved to
// one; its place is kept from then on.
func TestWhereItBegins(t *testing.T) {
	b, first := opened(t), time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for n := range 5 {
		store(t, b, &events.Event{ID: fmt.Sprint(n), Time: first.Add(time.Duration(n) * time.Hour), Topic: "books"})
	}
	const end = 5
	for name, test := range map[string]struct {
		start subscription.Position
		want  int64
	}{
		"oldest":       {logsource.StartOf(true, time.Time{}), 0},
		"newest":       {logsource.StartOf(false, time.Time{}), end},
		"before-all":   {logsource.StartOf(false, first.Add(-time.Hour)), 0},
		"at-one":       {logsource.StartOf(false, first.Add(2*time.Hour)), 2},
		"between-two":  {logsource.StartOf(false, first.Add(2*time.Hour+1)), 3},
		"after-all":    {logsource.StartOf(false, first.Add(24*time.Hour)), end},
		"another-zone": {logsource.StartOf(false, first.Add(3*time.Hour).In(time.FixedZone("x", 7200))), 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := logsource.New(b, logsource.Options{Subscription: name, Topic: "books", Start: test.start})
			other := logsource.New(b, logsource.Options{Subscription: name, Topic: "books", Start: subscription.Position{Earliest: true}})
			for _, s := range []*logsource.Source{s, other} { // the second finds the place of the first
				if err := s.Begin(t.Context()); err != nil {
					t.Fatal(err)
				}
				if lag, err := s.Lag(t.Context()); err != nil || len(lag) != 1 || lag[0].Committed != test.want || lag[0].End != end {
					t.Errorf("got %+v, %v, want the place %d", lag, err, test.want)
				}
			}
			if !test.start.Earliest && !test.start.Latest {
				if at, err := s.Seek(t.Context(), test.start); err != nil || at[0] != test.want {
					t.Errorf("moved to %v, %v, want %d", at, err, test.want)
				}
			}
		})
	}
}

// TestOnlyForSinks: Events 177: what a rule has for some sinks is not for a subscription, nor is what has another topic or type.
func TestOnlyForSinks(t *testing.T) {
	b, h := opened(t), &eventtest.Handled{}
	kafka, other, last := &events.Event{ID: "1", Topic: "books", Sinks: []string{"kafka"}}, &events.Event{ID: "2", Topic: "others"}, &events.Event{ID: "3", Topic: "books"}
	s := subscription.Start(subscription.Setup{
		Source: logsource.New(b, logsource.Options{Subscription: "s", Topic: "books", Start: subscription.Position{Earliest: true}}), Store: &subscription.Store{Folder: t.TempDir()},
		Options: subscription.Options{Name: "s", Call: h.Call, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), MaxAttempts: 1},
	})
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		s.Stop(ctx)
	}()
	store(t, b, kafka, other, last)
	poll.Until(t, "the last", func() bool { return len(h.All()) > 0 })
	if all := h.All(); len(all) != 1 || all[0].Event.ID != "3" {
		t.Errorf("got %v", all)
	}
}
