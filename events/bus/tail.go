package bus

import (
	"context"
	"errors"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

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
