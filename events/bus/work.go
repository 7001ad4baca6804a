package bus

import (
	"context"
	"sync"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// maxAhead is how far in the log a sink may be ahead of an event that it does not take. All behind that is sent again
// after a crash.
const maxAhead = 100 * maxBatch

// teller is a sink that tells of each event as soon as it has taken it, since a call of Send may last long. It may do so
// by several goroutines at once.
type teller interface {
	SendTelling(ctx context.Context, batch []*events.Event, errs []error, taken func(i int))
}

// batch is what was read from the log.
type batch struct {
	events  []*events.Event
	offsets []uint64 // theirs
	last    uint64   // the last offset, be it of an event for this sink or not
	from    *log.Sink
}

// notStored is the offset of what is not in the log. An offset is never so large.
const notStored = ^uint64(0)

// work is what a runner has to send: what it was given best effort, and what the log has, in the order in which that came.
type work struct {
	batch

	mu   sync.Mutex
	done []bool // of those that are under way
	next int    // the first of them that is stored and not done
}

// give adds what was published best effort.
func (w *work) give(some ...*events.Event) {
	for _, e := range some {
		w.events, w.offsets = append(w.events, e), append(w.offsets, notStored)
	}
}

// store adds what was read from the log.
func (w *work) store(b batch) {
	w.events, w.offsets = append(w.events, b.events...), append(w.offsets, b.offsets...)
	w.last, w.from = b.last, b.from
	w.settle()
}

// given is what was published best effort.
func (w *work) given() (some []*events.Event) {
	for i, e := range w.events {
		if w.offsets[i] == notStored {
			some = append(some, e)
		}
	}
	return some
}

// room reports whether more may be added to what is sent again.
func (w *work) room() bool {
	size, first := int64(0), notStored
	for i, e := range w.events {
		size += sizeOf(e)
		first = min(first, w.offsets[i])
	}
	return len(w.events) < maxBatch && size < maxBatchBytes && (first == notStored || w.last-first < maxAhead)
}

// begin is called before all is sent once; it returns where errors are noted.
func (w *work) begin() []error {
	w.done, w.next = make([]bool, len(w.events)), 0
	return make([]error, len(w.events))
}

// taken notes that an event was taken, and has the log know how far the sink has come.
func (w *work) taken(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[i] = true
	if i == w.next {
		w.settle()
	}
}

// keep leaves some of the events, which are in their order.
func (w *work) keep(left []*events.Event) {
	n := 0
	for i, e := range w.events {
		if n < len(left) && left[n] == e {
			w.events[n], w.offsets[n] = e, w.offsets[i]
			n++
		}
	}
	clear(w.events[n:])
	w.events, w.offsets, w.done, w.next = w.events[:n], w.offsets[:n], nil, 0
	w.settle()
}

// settle acknowledges what is before the first stored event that is not done.
func (w *work) settle() {
	for w.next < len(w.events) && (w.offsets[w.next] == notStored || w.next < len(w.done) && w.done[w.next]) {
		w.next++
	}
	switch {
	case w.from == nil:
	case w.next == len(w.events):
		w.from.Ack(w.last)
	case w.offsets[w.next] > 0:
		w.from.Ack(w.offsets[w.next] - 1)
	}
}
