package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/gateway"
)

var _ admin.Subscribing = administered{}

// Subscriptions implements admin.Subscribing.
func (a administered) Subscriptions(ctx context.Context) []admin.Subscription {
	var list []admin.Subscription
	for _, s := range a.server.gateway.Subscriptions(ctx) {
		one := admin.Subscription{
			Name: s.Name, Source: s.Source, Topic: s.Topic, Method: s.Method, State: stateOf(s), InFlight: s.InFlight, Dead: s.Dead,
			Since: set(s.Since), LastCommit: set(s.Committed), Partitions: []admin.SubscriptionPartition{},
		}
		if s.Failure != nil {
			one.Failure = s.Failure.Error()
		}
		if s.LagError != nil {
			one.LagFailure = s.LagError.Error()
		}
		for _, l := range s.Lag {
			p := admin.SubscriptionPartition{Partition: l.Partition, Committed: l.Committed, End: l.End, Lag: max(l.End-l.Committed, 0)}
			if !l.Oldest.IsZero() {
				p.LagSeconds = max(time.Since(l.Oldest).Seconds(), 0)
			}
			one.Partitions = append(one.Partitions, p)
		}
		list = append(list, one)
	}
	return list
}

func stateOf(s gateway.SubscriptionStatus) string {
	switch {
	case s.Paused:
		return "paused"
	case s.Failure != nil:
		return "away"
	case s.Waiting:
		return "waiting"
	}
	return "running"
}

// lineTime is how long brokers may take to say how far subscriptions are.
const lineTime = time.Second

// subscriptionLines say how subscriptions are, for people.
func subscriptionLines(g *gateway.Gateway) (lines []string) {
	ctx, cancel := context.WithTimeout(g.Context(), lineTime)
	defer cancel()
	for _, s := range g.Subscriptions(ctx) {
		text := fmt.Sprintf("subscription %s: %s", s.Name, stateOf(s))
		switch {
		case s.Failure != nil && !s.Paused:
			text += fmt.Sprintf(" since %s: %v", s.Since.UTC().Format(time.RFC3339), s.Failure)
		case s.Waiting && !s.Paused:
			text = fmt.Sprintf("subscription %s: an event does not succeed, and waits until it is resumed", s.Name)
		}
		var lag int64
		for _, l := range s.Lag {
			lag += max(l.End-l.Committed, 0)
		}
		text = fmt.Sprintf("%s, %d records wait, %d dead letters", text, lag, s.Dead)
		if s.Dead >= s.MaxDead {
			text += ", which is max_dead_letters: send them again, or drop them"
		}
		lines = append(lines, text)
	}
	return lines
}

// notThere is an error that is admin.ErrNoEvent, too, of which its text says nothing.
type notThere struct{ error }

// Is implements errors.Is.
func (notThere) Is(target error) bool { return target == admin.ErrNoEvent }

// notDone is the error of what cannot be done as things are.
type notDone struct{ error }

// NotDone says so to the admin listener.
func (notDone) NotDone() {}

// known says which errors are of what is not there, and which of what cannot be done.
func known(err error) error {
	switch {
	case errors.Is(err, gateway.ErrNoSubscription), errors.Is(err, subscription.ErrNoDead), errors.Is(err, bus.ErrNotRejected):
		return notThere{err}
	case errors.Is(err, gateway.ErrFailedAgain), errors.Is(err, subscription.ErrNotMoved):
		return notDone{err}
	}
	return err
}

// PauseSubscription implements admin.Subscribing.
func (a administered) PauseSubscription(name string) error {
	return known(a.server.gateway.PauseSubscription(name))
}

// ResumeSubscription implements admin.Subscribing.
func (a administered) ResumeSubscription(name string) error {
	return known(a.server.gateway.ResumeSubscription(name))
}

// SeekSubscription implements admin.Subscribing.
func (a administered) SeekSubscription(ctx context.Context, name string, to admin.SeekTo) (map[int32]int64, error) {
	at, err := a.server.gateway.SeekSubscription(ctx, name, subscription.Position(to))
	return at, known(err)
}

// DeadLetters implements admin.Subscribing.
func (a administered) DeadLetters(name, after string, most int) (list []admin.DeadLetter, err error) {
	err = a.server.gateway.DeadLetters(name, func(d subscription.Letter) bool {
		if d.ID > after { // they are in the order of their ids
			list = append(list, shownLetter(d))
		}
		return len(list) < most
	})
	return list, known(err)
}

// DeadLetter implements admin.Subscribing.
func (a administered) DeadLetter(name, id string) (admin.DeadLetter, error) {
	d, err := a.server.gateway.DeadLetter(name, id)
	if err != nil {
		return admin.DeadLetter{}, known(err)
	}
	return shownLetter(d), nil
}

func shownLetter(d subscription.Letter) admin.DeadLetter {
	return admin.DeadLetter{
		ID: d.ID, At: d.At, Code: d.Code, Message: d.Message, Reason: d.Reason, Attempts: d.Attempts, Method: d.Method,
		Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, Event: cloudevents.AppendJSON(nil, d.Event),
	}
}

// RetryDeadLetter implements admin.Subscribing.
func (a administered) RetryDeadLetter(ctx context.Context, name, id string) error {
	return known(a.server.gateway.RetryDeadLetter(ctx, name, id))
}

// DropDeadLetter implements admin.Subscribing.
func (a administered) DropDeadLetter(name, id string) error {
	return known(a.server.gateway.DropDeadLetter(name, id))
}
