package bus

import (
	"context"
	"errors"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// Has reports whether the log has an event of a topic.
func (b *Bus) Has(ctx context.Context, topic string) bool {
	l := b.Log()
	if l == nil {
		return false
	}
	atOnce, stop := context.WithCancel(ctx)
	stop() // the end of the log is not waited at
	r := l.Reader(l.Stats().First)
	defer func() { _ = r.Close() }() // it was read
	for ctx.Err() == nil {
		record, err := r.Next(atOnce)
		if err != nil {
			return false
		}
		if parsed, err := events.ParseRecord(record.Body); err == nil && parsed.Event != nil && parsed.Event.Topic == topic {
			return true
		}
	}
	return false
}

// Tail calls each with the events of the log, from the oldest or from now on, until ctx ends
// or each returns an error. It calls it with nil first, once it sees what is appended.
func (b *Bus) Tail(ctx context.Context, earliest bool, each func(*events.Event) error) (err error) {
	l := b.Log()
	if l == nil {
		return ErrNoLog
	}
	stats := l.Stats()
	from := stats.Next
	if earliest {
		from = stats.First
	}
	r := l.Reader(from)
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := each(nil); err != nil {
		return err
	}
	for {
		record, err := r.Next(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, log.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		parsed, err := events.ParseRecord(record.Body)
		if err != nil || parsed.Event == nil {
			continue
		}
		if err := each(parsed.Event); err != nil {
			return err
		}
	}
}
