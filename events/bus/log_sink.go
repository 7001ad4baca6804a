package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// logSink is a sink that appends to the log, for what is published best effort where there is
// no other.
type logSink struct{ bus *Bus }

// Send implements events.Sink.
func (s logSink) Send(ctx context.Context, batch []*events.Event, errs []error) {
	bodies := make([][]byte, len(batch))
	for i, e := range batch {
		bodies[i] = events.AppendRecord(nil, e)
	}
	l := s.bus.Log()
	if l == nil {
		fill(errs, ErrNoLog)
		return
	}
	n, err := l.AppendAll(ctx, bodies)
	fill(errs[n:], err)
	switch {
	case errors.Is(err, log.ErrTooLarge):
		errs[n] = fmt.Errorf("%w: %w", events.ErrRejected, err)
	case errors.Is(err, log.ErrDropped): // so it is set for a full log
		s.bus.dropped("log_full", embedded, batch[n:])
		fill(errs, nil)
	}
}

// Close implements events.Sink.
func (logSink) Close() error { return nil }

func fill(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}
