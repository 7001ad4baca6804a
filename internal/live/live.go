// Package live tells those who watch of calls as they end (Surface 242). It knows a call as a Record,
// and neither what calls are nor who watches.
//
//	watch, err := hub.Watch(`status >= 500`)
//	defer watch.Close()
//	batch, ok := watch.Next(ctx)
//
// A call pays one atomic load where nobody watches, and never waits for those who do.
package live

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxWatches is how many may watch at once: as many as may have a page of the console open.
	MaxWatches = 64
	// MaxPerSecond is how many calls a watch is told of in a second.
	MaxPerSecond = 200
	// waiting is how many calls may wait for a watch to look at them.
	waiting = 1024
	// step is how long Next waits at most.
	step = time.Second
	// gather is how long the calls of a batch may come in after its first.
	gather = 50 * time.Millisecond
)

// Hub brings calls to watches. The zero Hub is ready, and safe for concurrent use.
type Hub struct {
	watches                atomic.Pointer[[]*Watch] // nil: nobody watches
	bodies                 atomic.Int32             // how many watch messages
	second, captured, held atomic.Int64
	mu                     sync.Mutex // of those who change watches
}

// Watched reports whether anybody watches.
func (h *Hub) Watched() bool { return h.watches.Load() != nil }

// Tell hands a call to all watches; it must not change any more.
func (h *Hub) Tell(r *Record) {
	watches := h.watches.Load()
	if watches == nil {
		return
	}
	for _, w := range *watches {
		select {
		case w.calls <- r:
		default:
			w.missed.Add(1)
		}
	}
}

// Watch begins to watch the calls that a filter, an expression of CEL, takes; "" takes all. The
// error says what is wrong with the filter, and where, or is ErrTooMany.
func (h *Hub) Watch(filter string) (*Watch, error) { return h.watch(filter, false) }

// WatchBodies begins to watch calls with those of their messages that Capture keeps.
func (h *Hub) WatchBodies(filter string) (*Watch, error) { return h.watch(filter, true) }

func (h *Hub) watch(filter string, bodies bool) (*Watch, error) {
	f, err := newFilter(filter)
	if err != nil {
		return nil, err
	}
	w := &Watch{hub: h, filter: f, bodies: bodies, calls: make(chan *Record, waiting)}
	h.mu.Lock()
	defer h.mu.Unlock()
	var watches []*Watch
	if now := h.watches.Load(); now != nil {
		watches = slices.Clone(*now)
	}
	if len(watches) >= MaxWatches {
		return nil, ErrTooMany{}
	}
	watches = append(watches, w)
	h.watches.Store(&watches)
	if bodies {
		h.bodies.Add(1)
	}
	return w, nil
}

// ErrTooMany is the error where nobody else can watch.
type ErrTooMany struct{}

// TooMany tells the error from those of filters.
func (ErrTooMany) TooMany() {}

// Error implements error.
func (ErrTooMany) Error() string {
	return fmt.Sprintf("%d already watch calls live, which is the most; close one", MaxWatches)
}

// Watch is what one who watches is told. It belongs to one goroutine, except for what Hub does.
type Watch struct {
	hub    *Hub
	filter *filter // nil takes all
	bodies bool    // messages are told, too
	calls  chan *Record
	missed atomic.Uint64

	second  time.Time // when the second began whose calls are counted
	told    int       // in that second
	dropped uint64    // since the last batch
}

// Batch is what happened since the last one.
type Batch struct {
	// Calls that the filter takes, in the order in which they ended. May be empty.
	Calls []*Record
	// Dropped is how many the filter takes besides: there were more than MaxPerSecond.
	Dropped uint64
	// Missed is how many were not looked at: there were more than the filter could judge.
	Missed uint64
}

// Next waits for calls, for a second at most. It is false when ctx has ended.
func (w *Watch) Next(ctx context.Context) (b Batch, ok bool) {
	end := time.NewTimer(step)
	defer end.Stop()
	for gathering := false; ; {
		select {
		case <-ctx.Done():
			return b, false
		case r := <-w.calls:
			w.take(r, &b)
			if !gathering && len(b.Calls) > 0 {
				gathering = true
				end.Reset(gather)
			}
		case <-end.C:
			b.Missed, b.Dropped, w.dropped = w.missed.Swap(0), w.dropped, 0
			return b, true
		}
	}
}

// take adds a call to a batch, if the filter takes it and the second has room.
func (w *Watch) take(r *Record, b *Batch) {
	if w.filter != nil && !w.filter.takes(r) {
		return
	}
	if now := time.Now(); now.Sub(w.second) >= time.Second {
		w.second, w.told = now, 0
	}
	if w.told >= MaxPerSecond {
		w.dropped++
		return
	}
	w.told++
	if !w.bodies && r.Messages != nil {
		less := *r
		less.Messages = nil
		r = &less
	}
	b.Calls = append(b.Calls, r)
}

// Close ends the watch.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	now := w.hub.watches.Load()
	if now == nil {
		return
	}
	left := slices.DeleteFunc(slices.Clone(*now), func(o *Watch) bool { return o == w })
	if w.bodies && len(left) < len(*now) {
		w.hub.bodies.Add(-1)
	}
	if len(left) == 0 {
		w.hub.watches.Store(nil)
		return
	}
	w.hub.watches.Store(&left)
}
