package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/rpccode"
)

// SubscriptionStatus is how a subscription is.
type SubscriptionStatus struct {
	subscription.Status
	Source, Topic, Method string
	// Dead is how many dead letters are put aside, of MaxDead.
	Dead, MaxDead int
}

// ErrNoSubscription is returned for a name that no subscription has.
var ErrNoSubscription = errors.New("there is no such subscription")

// ErrFailedAgain is wrapped by the outcome of a dead letter's call that does not succeed.
var ErrFailedAgain = errors.New("the call has failed again")

// Subscriptions are those at work, by name.
func (g *Gateway) Subscriptions(ctx context.Context) []SubscriptionStatus {
	g.subscriptions.Lock()
	all := maps.Clone(g.subscriptions.running)
	g.subscriptions.Unlock()
	var list []SubscriptionStatus
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := all[name]
		list = append(list, SubscriptionStatus{
			Status: r.Status(ctx), Source: r.of.source, Topic: r.of.topic, Method: r.of.path[1:], Dead: r.store.Count(name),
			MaxDead: subscription.Bound{Most: int(r.of.settings.GetMaxDeadLetters())}.Limit(),
		})
	}
	return list
}

// subscription returns one that is at work.
func (g *Gateway) subscription(name string) (*running, error) {
	g.subscriptions.Lock()
	defer g.subscriptions.Unlock()
	if r := g.subscriptions.running[name]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("%w: %q; groups lists those that there are", ErrNoSubscription, name)
}

// PauseSubscription has a subscription make no calls until ResumeSubscription (Events 174).
func (g *Gateway) PauseSubscription(name string) error {
	r, err := g.subscription(name)
	if err != nil {
		return err
	}
	return r.Pause()
}

// ResumeSubscription ends a pause.
func (g *Gateway) ResumeSubscription(name string) error {
	r, err := g.subscription(name)
	if err != nil {
		return err
	}
	return r.Resume()
}

// SeekSubscription has a subscription go on elsewhere, and returns at which offsets of its partitions.
func (g *Gateway) SeekSubscription(ctx context.Context, name string, to subscription.Position) (map[int32]int64, error) {
	r, err := g.subscription(name)
	if err != nil {
		return nil, err
	}
	return r.Seek(ctx, to)
}

// DeadLetters calls f with the dead letters of a subscription that are put aside, the oldest
// first, until it returns false.
func (g *Gateway) DeadLetters(name string, f func(subscription.Letter) bool) error {
	r, err := g.subscription(name)
	if err != nil {
		return err
	}
	r.store.Each(name, f)
	return nil
}

// DeadLetter is one of them.
func (g *Gateway) DeadLetter(name, id string) (subscription.Letter, error) {
	r, err := g.subscription(name)
	if err != nil {
		return subscription.Letter{}, err
	}
	return r.store.Letter(name, id)
}

// RetryDeadLetter calls the method of the subscription once more, and no other one's. The dead
// letter is dropped if that succeeds (Events 170).
func (g *Gateway) RetryDeadLetter(ctx context.Context, name, id string) error {
	r, err := g.subscription(name)
	if err != nil {
		return err
	}
	letter, err := r.store.Letter(name, id)
	if err != nil {
		return err
	}
	result := g.deliver(ctx, r.of, letter.Again(), 1)
	if result.Reason != "" || verdicts(r.of.settings.GetCodes())(result.Code) != subscription.Done {
		return fmt.Errorf("%w: %s: %s", ErrFailedAgain, rpccode.Name(result.Code), result.Message)
	}
	return r.store.Drop(name, id)
}

// DropDeadLetter forgets one.
func (g *Gateway) DropDeadLetter(name, id string) error {
	r, err := g.subscription(name)
	if err != nil {
		return err
	}
	return r.store.Drop(name, id)
}

// observeSubscriptions says how subscriptions are, for the metrics.
func (g *Gateway) observeSubscriptions(ctx context.Context) []observe.SubscriptionState {
	var all []observe.SubscriptionState
	for _, s := range g.Subscriptions(ctx) {
		one := observe.SubscriptionState{Name: s.Name, InFlight: s.InFlight, Dead: s.Dead, Paused: s.Paused || s.Waiting, LastCommit: s.Committed}
		for _, lag := range s.Lag {
			one.Lag = append(one.Lag, observe.PartitionLag{Partition: lag.Partition, Records: max(lag.End-lag.Committed, 0), Oldest: lag.Oldest})
		}
		all = append(all, one)
	}
	return all
}
