package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/subscription"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// ackWait is how long a message may go unmentioned before the server gives it to another member.
	ackWait = 30 * time.Second
	// mostPending is how many messages of a consumer are under way, by all of its members.
	mostPending = 1024
	// fetchMost is how many messages are asked for at once, and fetchWait how long a request stands.
	fetchMost = 64
	fetchWait = 5 * time.Second
)

// Source is what a durable consumer of JetStream gives to one of its members.
type Source struct {
	what subscription.Reading

	mu      sync.Mutex
	sink    *Sink // whose connection it is
	answers answers
}

var (
	_ subscription.Source      = (*Source)(nil)
	_ subscription.DeadLetters = (*burying)(nil)
)

// OpenSource makes a source. It does not wait for servers, and none need be there. It takes dead letters
// where there is a subject for them.
func OpenSource(name string, settings *transomv1.NatsSink, what subscription.Reading, env events.Env) (subscription.Source, error) {
	sink, err := Open(name, settings, env)
	if err != nil {
		return nil, err
	}
	sink.log = env.Log.With("source", name, "subscription", what.Subscription)
	s := &Source{what: what, sink: sink}
	if what.DeadLetters != "" {
		return &burying{s}, nil
	}
	return s, nil
}

// connected is JetStream by a connection that is made if there is none.
func (s *Source) connected(ctx context.Context) (jetstream.JetStream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.sink.connected(ctx); err != nil {
		return nil, err
	}
	return s.sink.stream, nil
}

// Run implements subscription.Source. It ends with its connection: what was under way to a member then is lost, and
// whatever the server says of the consumer may be older than what it said before.
func (s *Source) Run(ctx context.Context, w *subscription.Work) error {
	if _, err := s.connected(ctx); err != nil {
		return s.ended(ctx, err)
	}
	l := s.link()
	connected, stop := l.watch(ctx)
	defer stop()
	consumer, before, err := s.begin(connected, l)
	if err != nil {
		return s.ended(ctx, cmp.Or(context.Cause(connected), err))
	}
	h := &held{all: map[jetstream.Msg]bool{}, answers: &s.answers}
	p := w.Open(0, 0, nil)
	refreshing, stopRefreshing := context.WithCancel(context.Background())
	var refresh sync.WaitGroup
	refresh.Go(func() { h.refresh(refreshing) })
	defer h.giveBack()
	defer refresh.Wait()
	defer stopRefreshing()
	defer w.Close(p, 0)
	w.Well()
	r := &receiver{source: s, ctx: connected, link: l, work: w, partition: p, held: h, before: before, queue: make(chan jetstream.Msg, fetchMost)}
	var taking sync.WaitGroup
	taking.Go(r.take)
	defer taking.Wait()
	defer close(r.queue)
	for err == nil && connected.Err() == nil {
		if err = r.turn(consumer); l.lost() {
			err = errLost
		}
	}
	return s.ended(ctx, cmp.Or(context.Cause(connected), err))
}

// begin is the consumer, and what it has under way, when the server has been told again what may have got lost, and no
// request stands of a member that has gone: the server would give messages to it that this one does not know of.
func (s *Source) begin(ctx context.Context, l link) (jetstream.Consumer, before, error) {
	consumer, err := s.consumer(ctx, nil)
	if err == nil && s.answers.again(l.conn, consumer.CachedInfo().Created) {
		_, err = consumer.Info(ctx) // which the server answers when it has taken these
	}
	for until := time.Now().Add(fetchWait); err == nil && s.what.Order == subscription.ByKey && consumer.CachedInfo().NumWaiting > 0 && time.Now().Before(until); {
		if err = wait(ctx, fetchWait/20); err == nil {
			_, err = consumer.Info(ctx)
		}
	}
	if err != nil {
		return nil, before{}, err
	}
	return consumer, beforeOf(s.what.Order, consumer.CachedInfo(), time.Now()), nil
}

// ended is the error of Run.
func (s *Source) ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		err = errors.New("the consumer has ended")
	}
	return s.sink.away(err)
}

// Close implements subscription.Source.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sink.Close()
}

// Lag implements subscription.Source. The consumer is the partition 0.
func (s *Source) Lag(ctx context.Context) ([]subscription.Lag, error) {
	js, err := s.connected(ctx)
	if err != nil {
		return nil, s.sink.away(err)
	}
	consumer, err := s.find(ctx, js)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.sink.away(err)
	}
	info := consumer.CachedInfo()
	done := int64(info.AckFloor.Stream)                                                                               //nolint:gosec // sequences are counted from 1
	return []subscription.Lag{{Committed: done, End: done + int64(info.NumPending) + int64(info.NumAckPending)}}, nil //nolint:gosec // as above
}

// Seek implements subscription.Source.
func (s *Source) Seek(ctx context.Context, to subscription.Position) (map[int32]int64, error) {
	if to.Offset < 0 || to.Partition != 0 {
		return nil, fmt.Errorf("%w: found the offset %d of partition %d, expected a sequence number of the stream", subscription.ErrNotMoved, to.Offset, to.Partition)
	}
	consumer, err := s.consumer(ctx, &to)
	switch {
	case errors.Is(err, subscription.ErrNotMoved):
		return nil, err
	case err != nil:
		return nil, s.sink.away(err)
	}
	return map[int32]int64{0: int64(consumer.CachedInfo().AckFloor.Stream) + 1}, nil //nolint:gosec // sequences are counted from 1
}
