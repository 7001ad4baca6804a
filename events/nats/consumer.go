package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events/subscription"
)

// find is the consumer, with what is known of it now.
func (s *Source) find(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	stream, err := s.streamOf(ctx, js)
	if err != nil {
		return nil, err
	}
	return js.Consumer(ctx, stream, s.what.Group)
}

func (s *Source) streamOf(ctx context.Context, js jetstream.JetStream) (string, error) {
	name, err := js.StreamNameBySubject(ctx, s.what.Topic)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fmt.Errorf("no stream has the subject %s: create one: %w", s.what.Topic, err)
	}
	return name, err
}

// consumer is the durable consumer, which is made if there is none. With a position it is made anew
// there.
func (s *Source) consumer(ctx context.Context, to *subscription.Position) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*ackTimeout)
	defer cancel()
	js, err := s.connected(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := s.streamOf(ctx, js)
	if err != nil {
		return nil, err
	}
	start := s.what.Start
	if to != nil {
		start = *to
		if err := within(ctx, js, stream, start); err != nil {
			return nil, err
		}
		if err := s.forget(ctx, js, stream); err != nil {
			return nil, err
		}
	}
	want := s.config(start, to != nil)
	consumer, err := js.Consumer(ctx, stream, s.what.Group)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = js.CreateConsumer(ctx, stream, want)
		if errors.Is(err, jetstream.ErrConsumerExists) { // another member has made it
			consumer, err = js.Consumer(ctx, stream, s.what.Group)
		}
	}
	if err != nil {
		return nil, err
	}
	return consumer, s.compare(consumer.CachedInfo().Config, want)
}

// within refuses a sequence number behind all of a stream: messages would be passed over until it came.
func within(ctx context.Context, js jetstream.JetStream, name string, to subscription.Position) error {
	if to.Offset == 0 { // or another kind of position
		return nil
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	if has := stream.CachedInfo().State; uint64(to.Offset) > has.LastSeq+1 { //nolint:gosec // it is not negative
		return fmt.Errorf("%w: found the sequence number %d, but the stream %s has %d to %d", subscription.ErrNotMoved, to.Offset, name, has.FirstSeq, has.LastSeq)
	}
	return nil
}

// config is that of the consumer. What the server has delivered and nobody has acknowledged is bounded; one
// message at a time keeps the order also of several members.
func (s *Source) config(start subscription.Position, offset bool) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Durable: s.what.Group, FilterSubject: s.what.Topic, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
		MaxAckPending: mostPending, MaxDeliver: -1, DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if s.what.Order == subscription.ByPartition {
		c.MaxAckPending = 1
	}
	switch {
	case start.Earliest:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	case !start.Time.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &start.Time
	case offset && !start.Latest:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, max(uint64(start.Offset), 1) //nolint:gosec // it is not negative
	}
	return c
}

// compare refuses a consumer of somebody else's making that does not work as this one must (Events 176).
func (s *Source) compare(has, want jetstream.ConsumerConfig) error {
	for _, setting := range [...]struct {
		name      string
		has, want any
	}{
		{"ack_policy", has.AckPolicy, want.AckPolicy}, {"filter_subject", has.FilterSubject, want.FilterSubject},
		{"max_ack_pending", has.MaxAckPending, want.MaxAckPending}, {"ack_wait", has.AckWait, want.AckWait}, {"max_deliver", has.MaxDeliver, want.MaxDeliver},
	} {
		if setting.has != setting.want {
			return fmt.Errorf("the consumer %s has the %s %v, and %v is needed: choose another group, or delete the consumer", s.what.Group, setting.name, setting.has, setting.want)
		}
	}
	return nil
}

const (
	// farewell is how long the request of a member that has gone may stand.
	farewell = 2 * time.Second
	// quiet is how long no request must stand for there to be no member: one that has got
	// messages asks for others a moment later.
	quiet = time.Second
)

// forget deletes the consumer, unless it has members.
func (s *Source) forget(ctx context.Context, js jetstream.JetStream, stream string) error {
	var since time.Time // when no request stood, and none has since
	for until := time.Now().Add(farewell); ; {
		consumer, err := js.Consumer(ctx, stream, s.what.Group)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		now := time.Now()
		switch {
		case consumer.CachedInfo().NumWaiting > 0:
			since = time.Time{}
		case since.IsZero():
			since = now
		}
		if !since.IsZero() && now.Sub(since) >= quiet {
			break
		}
		if since.IsZero() && now.After(until) {
			return fmt.Errorf("%w: the consumer %s has members in other processes: stop these first", subscription.ErrNotMoved, s.what.Group)
		}
		if err := wait(ctx, farewell/20); err != nil {
			return err
		}
	}
	err := js.DeleteConsumer(ctx, stream, s.what.Group)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

// burying is a Source whose dead letters have a subject.
type burying struct{ *Source }

// Bury implements subscription.DeadLetters: the message as it was, with what is known of its end as
// headers (Events 168).
func (b *burying) Bury(ctx context.Context, m *subscription.Message, d subscription.Letter) error {
	raw, ok := m.Raw.(jetstream.Msg)
	if !ok {
		return errors.New("the message is none of the source")
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	js, err := b.connected(ctx)
	if err != nil {
		return b.sink.away(err)
	}
	header := nats.Header{}
	for name, values := range raw.Headers() {
		if name != jetstream.MsgIDHeader {
			header[name] = values
		}
	}
	for _, h := range append(d.Headers(), subscription.Pair{Name: "transom-dead-timestamp", Value: m.Written.UTC().Format(time.RFC3339Nano)}) {
		header[h.Name] = []string{h.Value}
	}
	_, err = js.PublishMsg(ctx, &nats.Msg{Subject: b.what.DeadLetters, Header: header, Data: raw.Data()}, jetstream.WithRetryAttempts(0))
	return b.sink.judge(b.what.DeadLetters, err)
}
