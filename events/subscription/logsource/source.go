// Package logsource has subscriptions read the embedded log of events.
//
//	source := logsource.New(bus, logsource.Options{Subscription: "count-clicks", Topic: "user_behaviors"})
package logsource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/events/log"
	"github.com/transom-gateway/transom/events/subscription"
)

// Prefix is what the places of subscriptions in the log begin with. No sink may be called so.
const Prefix = "sub-"

// Options say what is read.
type Options struct {
	// Subscription is its name.
	Subscription string
	Topic        string
	// Start is where it begins that has no place yet. The zero Position is the latest.
	Start subscription.Position
}

// Source is the log as the source of one subscription. The log is its partition 0.
type Source struct {
	bus   *bus.Bus
	o     Options
	place string
}

var _ subscription.Source = (*Source)(nil)

// New makes the source of a subscription.
func New(b *bus.Bus, o Options) *Source {
	return &Source{bus: b, o: o, place: Prefix + o.Subscription}
}

// Begin makes the place of a subscription that is new, so that it misses nothing that happens
// from now on (Events 173). Run does it, too.
func (s *Source) Begin(ctx context.Context) error {
	_, err := s.open(ctx)
	return err
}

// Run implements subscription.Source.
func (s *Source) Run(ctx context.Context, w *subscription.Work) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	reader, err := l.Sink(s.place)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }() // what is acknowledged is saved by the log
	from := reader.Acknowledged()
	p := w.Open(0, int64(from), func(next int64) { //nolint:gosec // offsets are counted from 0
		reader.Ack(uint64(next) - 1) //nolint:gosec // it is above from
	})
	defer w.Close(p, 0)
	w.Well()
	for {
		record, err := reader.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		parsed, err := events.ParseRecord(record.Body)
		e := parsed.Event
		if err != nil || e == nil || e.Topic != s.o.Topic || !e.For(s.place) || !w.Takes(e.Type) {
			p.Pass(int64(record.Offset)) //nolint:gosec // as above
			continue
		}
		m := &subscription.Message{Offset: int64(record.Offset), Key: e.Key, Event: e, Size: len(record.Body)} //nolint:gosec // as above
		if p.Take(ctx, m) != nil {
			return nil
		}
	}
}

// open opens the log, and makes the place of a subscription that is new.
func (s *Source) open(ctx context.Context) (*log.Log, error) {
	if err := s.bus.Open(); err != nil {
		return nil, err
	}
	l := s.bus.Log()
	if l == nil {
		return nil, bus.ErrNoLog
	}
	if _, has := l.Cursor(s.place); has {
		return l, nil
	}
	at, err := s.find(ctx, l, s.o.Start)
	if err != nil {
		return nil, err
	}
	_, err = l.Place(s.place, at)
	return l, err
}

// find is the offset of a position.
func (s *Source) find(ctx context.Context, l *log.Log, to subscription.Position) (at uint64, err error) {
	stats := l.Stats()
	switch {
	case to.Earliest:
		return stats.First, nil
	case to.Time.IsZero():
		return stats.Next, nil
	}
	r := l.Reader(stats.First)
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		record, err := r.Next(ended)
		switch {
		case errors.Is(err, context.Canceled):
			return l.Stats().Next, nil
		case err != nil:
			return 0, err
		}
		parsed, err := events.ParseRecord(record.Body)
		if err == nil && parsed.Event != nil && !parsed.Event.Time.Before(to.Time) {
			return record.Offset, nil
		}
	}
}

// ended is a context that has ended, for reads that do not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Lag implements subscription.Source. It counts all records, be they of the topic or not.
func (s *Source) Lag(context.Context) ([]subscription.Lag, error) {
	l := s.bus.Log()
	if l == nil {
		return nil, bus.ErrNoLog
	}
	at, has := l.Cursor(s.place)
	if !has {
		return nil, nil
	}
	lag := subscription.Lag{Committed: int64(at), End: int64(l.Stats().Next)} //nolint:gosec // offsets are counted from 0
	return []subscription.Lag{lag}, nil
}

// Seek implements subscription.Source.
func (s *Source) Seek(ctx context.Context, to subscription.Position) (map[int32]int64, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	at := uint64(max(to.Offset, 0)) //nolint:gosec // it is not negative
	if to.Earliest || to.Latest || !to.Time.IsZero() {
		if at, err = s.find(ctx, l, to); err != nil {
			return nil, err
		}
	} else if has := l.Stats(); to.Partition != 0 || at < has.First || at > has.Next {
		return nil, fmt.Errorf("%w: found the offset %d of partition %d, but the log has %d to %d, and the partition 0 alone",
			subscription.ErrNotMoved, to.Offset, to.Partition, has.First, has.Next)
	}
	at, err = l.Seek(s.place, at)
	return map[int32]int64{0: int64(at)}, err //nolint:gosec // offsets are counted from 0
}

// Close implements subscription.Source.
func (*Source) Close() error { return nil }

// StartOf is the position where a subscription begins.
func StartOf(earliest bool, at time.Time) subscription.Position {
	return subscription.Position{Earliest: earliest, Latest: !earliest && at.IsZero(), Time: at}
}
