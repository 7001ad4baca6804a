package subscription_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/subscription"
)

// held is a source whose Run ends when it is let go, as one does whose calls take long.
type held struct{ began, release chan struct{} }

func newHeld() *held { return &held{make(chan struct{}), make(chan struct{})} }

func (h *held) Run(ctx context.Context, _ *subscription.Work) error {
	close(h.began)
	<-ctx.Done()
	<-h.release
	return nil
}

func (*held) Lag(context.Context) ([]subscription.Lag, error) { return nil, nil }

func (*held) Seek(context.Context, subscription.Position) (map[int32]int64, error) { return nil, nil }

func (*held) Close() error { return nil }

// A subscription waits for all before it, also where one in between was stopped before it began: two
// would make the same calls.
func TestSubscriptionsFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second, third := newHeld(), newHeld(), newHeld()
		start := func(source subscription.Source, after ...*subscription.Subscription) *subscription.Subscription {
			return subscription.Start(subscription.Setup{Source: source, After: after})
		}
		a := start(first)
		<-first.began
		a.Quit()
		b := start(second, a)
		b.Quit()
		c := start(third, a, b)
		synctest.Wait()
		if !b.Stopped() {
			t.Error("the second has not stopped, although it had nothing to do")
		}
		select {
		case <-third.began:
			t.Error("the third began before the first had ended")
		default:
		}
		close(first.release)
		<-third.began
		close(third.release)
		c.Stop(t.Context())
		select {
		case <-second.began:
			t.Error("the second began")
		default:
		}
	})
}

// hanging is a source of one event.
type hanging struct{ within time.Duration }

func (h *hanging) Run(ctx context.Context, w *subscription.Work) error {
	p := w.Open(0, 0, nil)
	defer w.Close(p, h.within)
	if err := p.Take(ctx, &subscription.Message{Event: &events.Event{}}); err != nil {
		return nil
	}
	<-ctx.Done()
	return nil
}

func (*hanging) Lag(context.Context) ([]subscription.Lag, error) { return nil, nil }

func (*hanging) Seek(context.Context, subscription.Position) (map[int32]int64, error) {
	return nil, nil
}

func (*hanging) Close() error { return nil }

// TestReplacedSubscriptionEnds: Events 172: a call that hangs holds up the subscription that replaces
// its own for a bounded time, and one that is moved.
func TestReplacedSubscriptionEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*subscription.Subscription) error{
		"replaced": func(s *subscription.Subscription) error { s.Quit(); return nil },
		"moved": func(s *subscription.Subscription) error {
			_, err := s.Seek(context.Background(), subscription.Position{Latest: true})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				cancelled := make(chan time.Time, 1)
				first := subscription.Start(subscription.Setup{Source: new(hanging), Grace: 40 * time.Second, Options: subscription.Options{
					Call: func(ctx context.Context, _ *subscription.Message, _ int) subscription.Result {
						if calls.Add(1) > 1 { // what is moved calls again; that does not hang
							return subscription.Result{}
						}
						<-ctx.Done()
						cancelled <- time.Now()
						return subscription.Result{Code: codes.Canceled}
					},
				}})
				next := newHeld()
				second := subscription.Start(subscription.Setup{Source: next, After: []*subscription.Subscription{first}})
				synctest.Wait()
				began := time.Now()
				if err := end(first); err != nil {
					t.Error(err)
				}
				if took := (<-cancelled).Sub(began); took != 40*time.Second {
					t.Errorf("its call was cancelled after %s", took)
				}
				if name == "replaced" {
					<-next.began
				}
				first.Stop(t.Context())
				close(next.release)
				second.Stop(t.Context())
			})
		})
	}
}
