package stream

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// Options are the outside of a Hub.
type Options struct {
	// Log is where events come from.
	Log *log.Log
	// Directory holds the key of cursors, and Folder what the log is told by.
	Directory, Folder string
	// RingBytes and RingEvents bound what is in memory: 64 MiB and 65,536 if they are 0.
	RingBytes, RingEvents int
	// Outer, if it is not nil, is called once for each item that clients share; Item.Outer is
	// what it returns.
	Outer func(*Item) any
	// OuterRun, if it is not nil, is called once for each run of items that clients share; Run.Outer is
	// what it returns.
	OuterRun func([]*Item) any
	// Logger is told of trouble with the log. Nil: slog.Default().
	Logger *slog.Logger
}

// Hub reads the log of a process for all its clients.
type Hub struct {
	options Options
	signer  *signer
	lang    languages
	ring    ring
	readers readers
	stats   counters
	kept    keptRuns
	began   time.Time
	// filtering has a token for each filter of a client that is asked at the moment.
	filtering chan struct{}

	ctx    context.Context // ends with the hub
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	topics  map[string]bool
	classes map[classKey]*class
	made    int // how many classes there have been
}

type counters struct {
	clients, classes              atomic.Int64
	encoded, sent                 atomic.Uint64
	caughtUp, dropped, conflated  atomic.Uint64
	tooOld, otherTopic, unknownAt atomic.Uint64
}

// Stats are figures of a hub.
type Stats struct {
	// Clients are those that listen, and Classes how many sets of rules and filters they have.
	Clients, Classes int
	// Events and Bytes are those in memory.
	Events, Bytes int
	// Encoded is how often an event was made what clients get, and Sent how many clients got one.
	Encoded, Sent uint64
	// Slow is how often a client was behind what is in memory, by what became of it: "catch_up",
	// "disconnect" or "conflate". Reset is how often a client could not go on, by reasons.
	Slow, Reset map[string]uint64
}

// NewHub begins to read the log. Close ends it.
func NewHub(o Options) (*Hub, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.RingBytes == 0 {
		o.RingBytes = 64 << 20
	}
	if o.RingEvents == 0 {
		o.RingEvents = 64 << 10
	}
	s, err := openSigner(o.Directory, o.Folder)
	if err != nil {
		return nil, err
	}
	lang, err := newLanguages()
	if err != nil {
		return nil, err
	}
	h := &Hub{options: o, signer: s, lang: lang, began: time.Now(), filtering: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), topics: map[string]bool{}, classes: map[classKey]*class{}}
	h.readers.init(o.Log)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	next := o.Log.Stats().Next
	h.ring.init(o.RingBytes, o.RingEvents, next)
	h.done.Go(func() { h.read(next) })
	return h, nil
}

// Close ends the hub and its streams, which ask their clients to come back.
func (h *Hub) Close() error {
	h.end()
	h.done.Wait()
	return h.readers.close()
}

// end ends streams, and has no others begin.
func (h *Hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel()
	h.wakeClasses("")
}

// wake has the clients of a topic look whether they are to come back.
func (h *Hub) wake(topic string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wakeClasses(topic)
}

// wakeClasses is wake, of all topics for "". h.mu is locked.
func (h *Hub) wakeClasses(topic string) {
	for key, c := range h.classes {
		if topic == "" || key.topic == topic {
			c.wake()
		}
	}
}

// Stats returns the figures of the moment.
func (h *Hub) Stats() Stats {
	c := &h.stats
	s := Stats{
		Clients: int(c.clients.Load()), Classes: int(c.classes.Load()), Encoded: c.encoded.Load(), Sent: c.sent.Load(),
		Slow:  map[string]uint64{"catch_up": c.caughtUp.Load(), "disconnect": c.dropped.Load(), "conflate": c.conflated.Load()},
		Reset: map[string]uint64{tooOld: c.tooOld.Load(), otherTopic: c.otherTopic.Load(), unknown: c.unknownAt.Load()},
	}
	s.Events, s.Bytes = h.ring.size()
	return s
}

// How the log is read.
const (
	readBatch = 512
	// paceOf is how long the hub waits for each class between two batches, so that many classes
	// look at several events at once, and longestPace the most.
	paceOf      = 5 * time.Microsecond
	longestPace = 100 * time.Millisecond
)

// ended is a context that has ended, for reads that do not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// read brings what is appended to the log into the ring.
func (h *Hub) read(next uint64) {
	r := h.options.Log.Reader(next)
	defer func() { _ = r.Close() }() // it was only read
	for {
		batch, head, generation, err := h.batch(r)
		switch {
		case h.ctx.Err() != nil:
			return
		case errors.Is(err, log.ErrClosed):
			h.end()
			return
		case err != nil:
			h.options.Logger.Error("the events log cannot be read for those who listen; this is tried again", "error", err)
			h.pause(time.Second)
		}
		if head > 0 {
			h.ring.add(batch, head, generation)
		}
		if d := h.pace(); d > time.Millisecond && len(batch) < readBatch {
			h.pause(d)
		}
	}
}

// pace is how long the hub waits between two batches.
func (h *Hub) pace() time.Duration {
	return min(time.Duration(h.stats.classes.Load())*paceOf, longestPace)
}

func (h *Hub) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.ctx.Done():
	}
}

// batch reads what is there, and waits for its first record. head is the offset behind it, 0 for
// nothing.
func (h *Hub) batch(r *log.Reader) (batch []*entry, head uint64, generation int, err error) {
	ctx := h.ctx
	for range readBatch {
		record, err := r.Next(ctx)
		if err != nil {
			if head > 0 {
				return batch, head, generation, nil
			}
			return nil, 0, 0, err
		}
		if head == 0 {
			generation = h.ring.current()
		}
		head, ctx = record.Offset+1, ended
		if e := h.entry(record); e != nil {
			batch = append(batch, e)
		}
	}
	return batch, head, generation, nil
}

// entry is a record that clients may get; nil for another one.
func (h *Hub) entry(r log.Record) *entry {
	parsed, err := events.ParseRecord(r.Body)
	if err != nil || parsed.Event == nil || !h.hasTopic(parsed.Event.Topic) {
		return nil
	}
	return newEntry(r.Offset, parsed.Event)
}

func (h *Hub) hasTopic(topic string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics[topic]
}

// addTopics has events of topics kept in memory. Those before now are in the log.
func (h *Hub) addTopics(topics []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range topics {
		if !h.topics[topic] {
			h.topics[topic] = true
			h.ring.forget()
		}
	}
}
