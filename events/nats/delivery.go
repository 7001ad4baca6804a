package nats

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/url"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
)

// Send sends the events. After one that is rejected it goes on with others of its key.
func (s *Sink) Send(ctx context.Context, batch []*events.Event, errs []error) {
	if err := s.connected(ctx); err != nil {
		for i := range errs {
			errs[i] = s.away(err)
		}
		return
	}
	var running sync.WaitGroup
	for _, members := range split(batch) {
		running.Go(func() { s.lane(ctx, batch, errs, members) })
	}
	running.Wait()
}

var seed = maphash.MakeSeed()

// split groups events, those of a key in one lane, in their order: what a stream has not
// acknowledged must not be overtaken.
func split(batch []*events.Event) [][]int {
	all := make([][]int, min(lanes, len(batch)))
	for i, e := range batch {
		n := i % len(all)
		if e.Key != "" {
			n = int(maphash.String(seed, e.Key) % uint64(len(all))) //nolint:gosec // below lanes
		}
		all[n] = append(all[n], i)
	}
	return all
}

// lane sends events one after another.
func (s *Sink) lane(ctx context.Context, batch []*events.Event, errs []error, members []int) {
	held := map[string]error{} // keys with an event that was not acknowledged
	for k, i := range members {
		e := batch[i]
		if why := held[e.Key]; why != nil {
			errs[i] = why
			continue
		}
		err := s.publish(ctx, e)
		errs[i] = err
		switch {
		case err == nil, errors.Is(err, events.ErrRejected):
		case !s.conn.IsConnected(), ctx.Err() != nil:
			for _, i := range members[k:] {
				errs[i] = err
			}
			return
		case e.Key != "":
			held[e.Key] = err
		}
	}
}

// publish sends one event, and waits until its stream has it. A stream that has had it before
// says so, and drops it.
func (s *Sink) publish(ctx context.Context, e *events.Event) error {
	to, err := subject(s.subject, e)
	if err != nil {
		return fmt.Errorf("%w: %w", events.ErrRejected, err)
	}
	m, err := cloudevents.NATS(e, s.mode)
	if err != nil {
		return fmt.Errorf("%w: %w", events.ErrRejected, err)
	}
	if m.Trimmed {
		s.trimmed.Add(1)
	}
	header := make(nats.Header, len(m.Headers)+1)
	for _, h := range m.Headers {
		header[h.Name] = []string{h.Value}
	}
	header[jetstream.MsgIDHeader] = []string{identity(e.ID)}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	_, err = s.stream.PublishMsg(ctx, &nats.Msg{Subject: to, Header: header, Data: m.Body}, jetstream.WithRetryAttempts(0))
	return s.judge(to, err)
}

// identity is the id of a message by which streams find doubles.
func identity(id string) string {
	if strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return url.QueryEscape(id)
	}
	return id
}

// judge is what follows from the outcome of a message.
func (s *Sink) judge(to string, err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrReconnectBufExceeded): // the client's word for no connection, as it is to keep nothing
		return s.away(s.disconnected())
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrHeadersNotSupported):
		return fmt.Errorf("%w: %s: subject %s: %w", events.ErrRejected, s.hosts, to, err)
	case errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("%w: %s: subject %s: %w", events.ErrRejected, s.hosts, to, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		s.lost.Store(true)
		return s.away(fmt.Errorf("no stream takes the subject %s: create one, or set create_stream: %w", to, err))
	}
	return s.away(fmt.Errorf("subject %s: %w", to, err))
}

// disconnected says why there is no connection, as far as that is known.
func (s *Sink) disconnected() error {
	if why := s.down.Load(); why != nil {
		return fmt.Errorf("there is no connection: %w", *why)
	}
	return errors.New("there is no connection")
}

// away is an error that may pass, for people.
func (s *Sink) away(err error) error {
	if said := s.refusal.Swap(nil); said != nil && !errors.Is(err, *said) {
		return fmt.Errorf("NATS at %s: %w (%w)", s.hosts, err, *said)
	}
	return fmt.Errorf("NATS at %s: %w", s.hosts, err)
}
