package subscription_test

import (
	"context"
	"testing"
	"testing/synctest"

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

func (*held) Seek(context.Context, subscription.Position) error { return nil }

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
