// Package eventtest records events in place of a bus, and messages in place of a method.
package eventtest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
)

// Recorder is a Publisher that keeps events. The zero Recorder is ready.
type Recorder struct {
	// Fail is the error of Store, Begin and Complete; nil for none. Stored is called before an
	// event is stored; nil for nothing.
	Fail   error
	Stored func(*events.Event)

	mu      sync.Mutex
	all     []Recorded
	changed chan struct{}
}

// Recorded is one event, and what was done with it: "publish", "store", "begin", "complete",
// "withdraw" or "lost".
type Recorded struct {
	*events.Event
	How string
}

var _ events.Publisher = (*Recorder)(nil)

func (r *Recorder) record(how string, e *events.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, Recorded{e, how})
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// All are those so far.
func (r *Recorder) All() []Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// Reset forgets all.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = nil
}

// Wait waits until there are n, and returns them.
func (r *Recorder) Wait(t testing.TB, n int) []Recorded {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		if len(r.all) >= n {
			defer r.mu.Unlock()
			return slices.Clone(r.all)
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("there are %d events, want %d", len(r.All()), n)
		}
	}
}

// Open implements events.Publisher.
func (r *Recorder) Open() error { return nil }

// Publish implements events.Publisher.
func (r *Recorder) Publish(e *events.Event) { r.record("publish", e) }

// Lost implements events.Publisher.
func (r *Recorder) Lost(e *events.Event) { r.record("lost", e) }

// Store implements events.Publisher.
func (r *Recorder) Store(ctx context.Context, e *events.Event) error { return r.store(ctx, "store", e) }

// StoreAll implements events.Publisher.
func (r *Recorder) StoreAll(ctx context.Context, all []*events.Event, errs []error) {
	for i, e := range all {
		errs[i] = r.store(ctx, "store", e)
	}
}

func (r *Recorder) store(ctx context.Context, how string, e *events.Event) error {
	if r.Stored != nil {
		r.Stored(e)
	}
	if r.Fail != nil {
		return r.Fail
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.record(how, e)
	return nil
}

// Begin implements events.Publisher.
func (r *Recorder) Begin(ctx context.Context, e *events.Event) (events.Intent, error) {
	return &intent{r, e}, r.store(ctx, "begin", e)
}

type intent struct {
	r *Recorder
	e *events.Event
}

// Complete implements events.Intent.
func (i *intent) Complete(ctx context.Context, e *events.Event) error {
	if e == nil {
		return i.r.store(ctx, "withdraw", i.e)
	}
	return i.r.store(ctx, "complete", e)
}
