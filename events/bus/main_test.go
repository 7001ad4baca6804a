package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/events/log"
)

// receiver is a sink that remembers what it got.
type receiver struct {
	mu     sync.Mutex
	got    []*events.Event
	answer func(e *events.Event) error // nil: it takes all
	block  bool                        // until the context ends
	sizes  []int                       // of the batches
	linger time.Duration
	closed bool
}

func (r *receiver) Send(ctx context.Context, batch []*events.Event, errs []error) {
	r.mu.Lock()
	block := r.block
	r.mu.Unlock()
	if block {
		<-ctx.Done()
		for i := range errs {
			errs[i] = ctx.Err()
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes = append(r.sizes, len(batch))
	for i, e := range batch {
		if r.answer != nil {
			if errs[i] = r.answer(e); errs[i] != nil {
				continue
			}
		}
		r.got = append(r.got, e)
	}
}

func (r *receiver) Linger() time.Duration { return r.linger }

func (r *receiver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

func (r *receiver) answers(f func(e *events.Event) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// ids are those of the events that it got.
func (r *receiver) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, e := range r.got {
		ids = append(ids, e.ID)
	}
	return ids
}

// counts is an observer.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) Event(what, sink, topic string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what+" "+sink+" "+topic] += n
}

func (c *counts) Dropped(sink, topic, reason string, n int) {
	c.Event("dropped "+reason, sink, topic, n)
}

func (*counts) Synced(time.Duration) {}

func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// process is a bus with what it says.
type process struct {
	*bus.Bus
	counts counts
	said   logText
}

type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t *testing.T, dir string) *process {
	t.Helper()
	p := &process{}
	p.Bus = bus.New(bus.Options{
		Directory: dir,
		Log:       log.Options{SegmentBytes: 1 << 20},
		Logger:    slog.New(slog.NewTextHandler(&p.said, nil)),
		Observer:  &p.counts,
	})
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// opened starts a bus whose log is open.
func opened(t *testing.T, dir string) *process {
	t.Helper()
	p := start(t, dir)
	if err := p.Open(); err != nil {
		t.Fatal(err)
	}
	return p
}

func event(id string) *events.Event {
	return &events.Event{ID: id, Source: "/s", Type: "t", Time: time.Now(), Topic: "topic", DataContentType: events.JSON, Data: []byte("{}")}
}

func store(t *testing.T, p *bus.Publisher, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := p.Store(t.Context(), event(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func wantIDs(t *testing.T, r *receiver, ids ...string) {
	t.Helper()
	if got := r.ids(); !slices.Equal(got, ids) {
		t.Errorf("got %v, want %v", got, ids)
	}
}

var errAway = errors.New("the broker is away")

func away(*events.Event) error { return errAway }
