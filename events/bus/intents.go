package bus

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// intentsCursor is the cursor of the oldest intent that is open.
const intentsCursor = "intents"

// intents knows which are open, so that the log keeps them.
type intents struct {
	log    *log.Log
	cursor *log.Sink

	mu   sync.Mutex
	open map[string]uint64 // by IDs; the intent is at that offset or behind it
	past uint64            // no open intent is before it, unless open says so
	// left are those of the process before, which are to be published.
	left map[string]*events.Event
}

// openIntents reads which intents were open when the process ended whose log this is.
func openIntents(l *log.Log) (*intents, error) {
	cursor, err := l.Sink(intentsCursor)
	if err != nil {
		return nil, err
	}
	in := &intents{log: l, cursor: cursor, open: map[string]uint64{}, left: map[string]*events.Event{}, past: l.Stats().Next}
	for {
		record, err := cursor.Next(ended)
		if err != nil || record.Offset >= in.past {
			break
		}
		if parsed, err := events.ParseRecord(record.Body); err == nil {
			note(in.left, parsed)
			if parsed.Intent != nil {
				in.open[parsed.Intent.ID] = record.Offset
			}
			delete(in.open, parsed.Done)
		}
	}
	in.advance()
	return in, nil
}

// note notes an intent that begins or ends.
func note(open map[string]*events.Event, r events.Record) {
	if r.Intent != nil {
		open[r.Intent.ID] = r.Intent
	}
	delete(open, r.Done)
}

// publishLeft publishes the intents of the process before as calls whose outcome is unknown.
func (in *intents) publishLeft(ctx context.Context, logger *slog.Logger) {
	for _, id := range slices.Sorted(maps.Keys(in.left)) {
		e := unknown(in.left[id])
		if err := in.complete(ctx, id, e); err != nil {
			logger.Warn("the outcome of a call is unknown, and the events log cannot take that yet", "type", e.Type, "id", id, "error", err)
			return
		}
		delete(in.left, id)
		logger.Warn("the outcome of a call is unknown, as its process ended during it", "type", e.Type, "id", id)
	}
}

// unknown is an intent as an event.
func unknown(e *events.Event) *events.Event {
	const name = "outcome"
	e.Extensions = slices.DeleteFunc(e.Extensions, func(x events.Extension) bool { return x.Name == name })
	e.SetExtension(name, "unknown")
	return e
}

// begin makes an intent durable.
func (in *intents) begin(ctx context.Context, e *events.Event) error {
	in.mu.Lock()
	in.open[e.ID] = in.log.Stats().Next
	in.mu.Unlock()
	_, err := in.log.Append(ctx, events.AppendIntent(nil, e))
	if err != nil && ctx.Err() == nil {
		// It is not in the log. After a context's error it may be, and is left to the next start.
		in.forget(e.ID)
	}
	return err
}

// complete makes the event durable, nil for none, and that the intent is none any more.
func (in *intents) complete(ctx context.Context, id string, e *events.Event) error {
	var bodies [][]byte
	if e != nil {
		bodies = append(bodies, events.AppendRecord(nil, e))
	}
	n, err := in.log.AppendAll(ctx, append(bodies, events.AppendDone(nil, id)))
	if n == len(bodies)+1 {
		in.forget(id)
		return nil
	}
	if n == len(bodies) && len(bodies) > 0 {
		// The event is there. Should the process end before the intent does, its double has
		// the same ID.
		return nil
	}
	return err
}

func (in *intents) forget(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.open, id)
	in.past = in.log.Stats().Next
	in.advance()
}

// pass lets the log drop what is before now, but for open intents. It is called at times: where no call has
// intents nothing else tells how far the log has come.
func (in *intents) pass() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.past = in.log.Stats().Next // an intent that begins now is at that offset or behind it
	in.advance()
}

// advance lets the log drop what is before the oldest open intent.
func (in *intents) advance() {
	oldest := in.past
	for _, offset := range in.open {
		oldest = min(oldest, offset)
	}
	if oldest > 0 {
		in.cursor.Ack(oldest - 1)
	}
}

func (in *intents) close() error { return in.cursor.Close() }
