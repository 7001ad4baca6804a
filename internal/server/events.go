package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/internal/admin"
)

var _ admin.Eventful = administered{}

// EventSinks implements admin.Eventful.
func (a administered) EventSinks() (admin.EventSinks, error) {
	b, err := a.server.gateway.EventBus()
	if err != nil {
		return admin.EventSinks{}, err
	}
	status := b.Status()
	all := admin.EventSinks{Sinks: []admin.EventSink{}}
	for _, s := range status.Sinks {
		one := admin.EventSink{Name: s.Name, Queue: s.Queue, Lag: s.Lag, Since: set(s.Since), LastSuccess: set(s.LastSuccess), SilentSince: set(s.Silent), NotReloaded: s.NotReloaded}
		if s.Failure != nil {
			one.Failure = s.Failure.Error()
		}
		if s.Refusal != nil {
			one.Refusal = s.Refusal.Error()
		}
		all.Sinks = append(all.Sinks, one)
	}
	if l := status.Log; l != nil {
		all.Log = &admin.EventLog{Records: l.Next - l.First, Bytes: l.Bytes, Oldest: set(l.Oldest)}
		if l.Err != nil {
			all.Log.Failure = l.Err.Error()
		}
	}
	return all, nil
}

// set is a time, or nil for none.
func set(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// TailEvents implements admin.Eventful.
func (a administered) TailEvents(ctx context.Context, q admin.EventQuery, each func([]byte) error) error {
	b, err := a.server.gateway.EventBus()
	if err != nil {
		return err
	}
	if q.Type != "" && !events.IsTypes(q.Type) {
		return notDone{fmt.Errorf(`type: found %.100q, expected a type, such as "user.click", or "user.*", or "*"`, q.Type)}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := a.knownTopic(ctx, b, q); err != nil {
		return err
	}
	defer context.AfterFunc(a.server.gateway.Context(), cancel)()
	var text []byte
	return b.Tail(ctx, q.Earliest, func(e *events.Event) error {
		if e == nil {
			return each(nil)
		}
		if !q.Has(e.Type, e.Topic) {
			return nil
		}
		text = cloudevents.AppendJSON(text[:0], e)
		return each(text)
	})
}

// knownTopic is the error for a topic to which nothing publishes, and of which no event is wanted that the log has. For "" it is nil.
func (a administered) knownTopic(ctx context.Context, b *bus.Bus, q admin.EventQuery) error {
	topics := a.server.gateway.EventTopics()
	if q.Topic == "" || slices.Contains(topics, q.Topic) || q.Earliest && b.Has(ctx, q.Topic) {
		return nil
	}
	expected := "expected one of " + strings.Join(topics, ", ")
	if len(topics) == 0 {
		expected = "and no rule, method or client publishes to any"
	}
	return notThere{fmt.Errorf("nothing publishes to that topic: found %.100q, %s", q.Topic, expected)}
}

// RejectedEvents implements admin.Eventful.
func (a administered) RejectedEvents(sink string) ([]admin.RejectedEvent, error) {
	b, err := a.server.gateway.EventBus()
	if err != nil {
		return nil, err
	}
	rejecting := b.RejectingSinks()
	if sink != "" && !slices.Contains(rejecting, sink) {
		if err := knownSink(b, sink); err != nil {
			return nil, err
		}
	}
	var list []admin.RejectedEvent
	for _, name := range rejecting {
		if sink != "" && sink != name {
			continue
		}
		for _, r := range b.Rejected(name) {
			list = append(list, admin.RejectedEvent{
				Sink: name, ID: r.ID, At: r.At, Reason: r.Reason, Topic: r.Event.Topic, Key: r.Event.Key, Event: cloudevents.AppendJSON(nil, r.Event),
			})
		}
	}
	return list, nil
}

// knownSink is the error for the name of no sink; nil for the name of one.
func knownSink(b *bus.Bus, name string) error {
	var names []string
	for _, s := range b.Status().Sinks {
		names = append(names, s.Name)
	}
	if slices.Contains(names, name) {
		return nil
	}
	return notThere{fmt.Errorf("there is no such sink: found %q, expected one of %s", name, strings.Join(names, ", "))}
}

// RetryRejected implements admin.Eventful.
func (a administered) RetryRejected(sink, id string) error {
	return a.rejected(sink, func(b *bus.Bus) error { return b.RetryRejected(sink, id) })
}

// DropRejected implements admin.Eventful.
func (a administered) DropRejected(sink, id string) error {
	return a.rejected(sink, func(b *bus.Bus) error { return b.DropRejected(sink, id) })
}

// rejected does it to an event of a sink, which may be one of an earlier configuration.
func (a administered) rejected(sink string, do func(*bus.Bus) error) error {
	b, err := a.server.gateway.EventBus()
	if err != nil {
		return err
	}
	if !slices.Contains(b.RejectingSinks(), sink) {
		if err := knownSink(b, sink); err != nil {
			return err
		}
	}
	return known(do(b))
}

var _ admin.Schemaful = administered{}

// DescriptorSet implements admin.Schemaful.
func (a administered) DescriptorSet(message string) ([]byte, error) {
	return a.server.gateway.DescriptorSet(message)
}
