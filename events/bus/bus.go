// Package bus brings events to sinks: those that are published best effort by a bounded queue for
// each sink, and those that are stored by the embedded log, from where each sink gets them
// at its own pace.
//
//	b := bus.New(bus.Options{Directory: "/var/lib/transom/events"})
//	kafka, err := b.Add("kafka", sink)
//	publisher := b.Publisher(kafka)
//	publisher.Publish(event)
//	err = publisher.Store(ctx, event)
//
// The log has a folder for each process in the directory. What a process leaves that is gone, another
// one takes over.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/internal/aside"
	"github.com/transom-gateway/transom/events/log"
)

// Options are the outside of a Bus.
type Options struct {
	// Directory is where the folders of the log lie.
	Directory string
	// Log are the options of the log. Its Logger and Synced are the bus's own.
	Log log.Options
	// Logger is told of trouble. Nil: slog.Default().
	Logger *slog.Logger
	// Observer counts. Nil: nobody does.
	Observer Observer
}

// Observer counts what becomes of events. It is called on the path of requests, by many
// goroutines at once. Sinks, topics and reasons are of the configuration and the program, never
// of clients.
type Observer interface {
	// Event counts events of a topic for a sink: "published" on arrival, then "sent", "retried",
	// "rejected" or "lost".
	Event(what, sink, topic string, n int)
	// Dropped counts events that a sink will not get, and why: "queue_full", "log_full" or "shutdown".
	Dropped(sink, topic, reason string, n int)
	// Synced is told how long a sync of the log took.
	Synced(time.Duration)
}

// Bus is the bus of a process. It is safe for concurrent use.
type Bus struct {
	options Options
	// ctx ends when nothing is sent any more, and stopping before, when nothing is
	// published any more.
	ctx      context.Context
	cancel   context.CancelFunc
	stopping context.Context
	stop     context.CancelFunc
	upkeep   sync.WaitGroup

	// removed is why the folder of the log is no longer there; nil while it is.
	removed atomic.Pointer[error]

	mu       sync.Mutex
	log      *log.Log // nil before it is needed
	intents  *intents
	folder   string                   // the log's, in the directory
	turns    map[string]chan struct{} // one token for each name of a sink
	live     map[*Publisher]bool
	runners  map[*Runner]bool
	toLog    *Runner               // nil before it is needed
	aside    map[string]*aside.Box // the rejected events of sinks
	dropping map[string]dropping
}

// New makes a bus that has not opened its log.
func New(o Options) *Bus {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	b := &Bus{options: o, turns: map[string]chan struct{}{}, live: map[*Publisher]bool{}, runners: map[*Runner]bool{}, aside: map[string]*aside.Box{}, dropping: map[string]dropping{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.stopping, b.stop = context.WithCancel(b.ctx)
	return b
}

type nobody struct{}

func (nobody) Event(_, _, _ string, _ int)   {}
func (nobody) Dropped(_, _, _ string, _ int) {}
func (nobody) Synced(time.Duration)          {}

// ErrNoLog is what Store returns where the log was not opened.
var ErrNoLog = errors.New("the events log is not open")

// Open opens the log, if it is not open. Sinks that were added before get what is stored from
// now on.
func (b *Bus) Open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.log != nil {
		return nil
	}
	if b.ctx.Err() != nil {
		return errClosed
	}
	o := b.options.Log
	o.Logger, o.Synced = b.options.Logger, b.options.Observer.Synced
	l, folder, err := openFolder(b.options.Directory, o)
	if err != nil {
		return err
	}
	in, err := openIntents(l)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	for r := range b.runners {
		if err := r.place(l); err != nil {
			return errors.Join(err, in.close(), l.Close())
		}
	}
	b.log, b.folder, b.intents = l, folder, in
	for r := range b.runners {
		r.read(l)
	}
	b.upkeep.Go(b.keepUp)
	return nil
}

var errClosed = errors.New("the bus is closed")

// Log is the embedded log; nil before Open.
func (b *Bus) Log() *log.Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log
}

// Folder is where the log lies; "" before Open.
func (b *Bus) Folder() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.folder == "" {
		return ""
	}
	return filepath.Join(b.options.Directory, b.folder)
}

// Failure says why the log cannot take events; nil if it can, or is not needed.
func (b *Bus) Failure() error {
	l := b.Log()
	if l == nil {
		return nil
	}
	if why := b.removed.Load(); why != nil {
		return *why
	}
	if err := l.Stats().Err; err != nil {
		return fmt.Errorf("the events log cannot be written: %w", err)
	}
	return nil
}

// Stop lets sinks send what was published best effort until ctx ends, and counts what is left
// as dropped. What is in the log stays there for the next start. Close follows.
func (b *Bus) Stop(ctx context.Context) {
	b.stop()
	b.mu.Lock()
	all := make([]*Runner, 0, len(b.runners))
	for r := range b.runners {
		all = append(all, r)
	}
	b.mu.Unlock()
	for _, r := range all {
		select {
		case <-r.drained:
		case <-ctx.Done():
		}
	}
	b.cancel()
	over := time.NewTimer(lastTime)
	defer over.Stop()
	for _, r := range all {
		select {
		case <-r.done:
		case <-over.C:
			b.options.Logger.Error("a sink of events does not end, and is left behind", "sink", r.name)
			return
		}
	}
}

// lastTime is how long sinks have to end once nothing is sent any more.
const lastTime = 5 * time.Second

// Close ends the bus. Runners are closed by it.
func (b *Bus) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Stop(ctx)
	b.upkeep.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.log == nil {
		return nil
	}
	err := errors.Join(b.intents.close(), b.log.Close())
	b.log = nil
	return err
}

// successor is another runner of the same name that goes on; nil for none.
func (b *Bus) successor(of *Runner) *Runner {
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.runners {
		if r != of && r.name == of.name && r.closing.Err() == nil {
			return r
		}
	}
	return nil
}

// turn is the channel of a sink's name whose one token its runner has.
func (b *Bus) turn(name string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.turns[name]
	if t == nil {
		t = make(chan struct{}, 1)
		b.turns[name] = t
	}
	return t
}

// observe counts events by their topics.
func (b *Bus) observe(what, sink string, batch []*events.Event) {
	byTopic(batch, func(topic string, n int) { b.options.Observer.Event(what, sink, topic, n) })
}

// dropped counts events that a sink will not get.
func (b *Bus) dropped(reason, sink string, batch []*events.Event) {
	byTopic(batch, func(topic string, n int) { b.options.Observer.Dropped(sink, topic, reason, n) })
}

// byTopic counts the events of a topic that stand together.
func byTopic(batch []*events.Event, count func(topic string, n int)) {
	for i := 0; i < len(batch); {
		n := 1
		for i+n < len(batch) && batch[i+n].Topic == batch[i].Topic {
			n++
		}
		count(batch[i].Topic, n)
		i += n
	}
}
