package bus

import (
	"context"
	"fmt"
	"sync"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// embedded is the name of the log among the sinks, for counters.
const embedded = "log"

// Publisher is the bus as one generation of the configuration sees it: with its sinks. It is
// an events.Publisher.
type Publisher struct {
	bus     *Bus
	runners []*Runner
	// toLog takes events that are published best effort where there is no sink; nil where
	// there is one.
	toLog *Runner
	// readers are those of the log besides sinks, and toReaders takes events that are published
	// best effort for them; nil where toLog does.
	readers   []string
	toReaders *Runner
	// topics are those that clients listen to.
	topics []string
}

var _ events.Publisher = (*Publisher)(nil)

// Publisher makes the publisher for these runners, which are its sinks. The log is opened by
// Open alone. The publisher is to be closed.
func (b *Bus) Publisher(runners ...*Runner) *Publisher {
	p := &Publisher{bus: b, runners: runners}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live[p] = true
	if len(runners) > 0 {
		return p
	}
	if b.toLog == nil {
		b.toLog = b.start(embedded, logSink{b}, false)
	}
	p.toLog = b.toLog
	return p
}

// Close says that these sinks are no longer those of a configuration in use.
func (p *Publisher) Close() error {
	p.bus.mu.Lock()
	delete(p.bus.live, p)
	p.bus.mu.Unlock()
	return nil
}

// Open implements events.Publisher.
func (p *Publisher) Open() error { return p.bus.Open() }

// Publish implements events.Publisher.
func (p *Publisher) Publish(e *events.Event) {
	if p.toLog != nil {
		p.bus.options.Observer.Event("published", embedded, e.Topic, 1)
		p.toLog.offer(e)
	}
	if p.toReaders != nil {
		p.feed(e)
	}
	for _, r := range p.runners {
		if e.For(r.name) {
			p.bus.options.Observer.Event("published", r.name, e.Topic, 1)
			r.offer(e)
		}
	}
}

// records are buffers of Store.
var records = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// maxPooled is the largest buffer that is kept.
const maxPooled = 64 << 10

// log is the log that takes events, or why there is none.
func (p *Publisher) log() (*log.Log, error) {
	l := p.bus.Log()
	if l == nil {
		return nil, ErrNoLog
	}
	if why := p.bus.removed.Load(); why != nil {
		return nil, *why
	}
	return l, nil
}

// Store implements events.Publisher.
func (p *Publisher) Store(ctx context.Context, e *events.Event) error {
	l, err := p.log()
	if err != nil {
		return err
	}
	buffer := records.Get().(*[]byte)
	*buffer = events.AppendRecord((*buffer)[:0], e)
	_, err = l.Append(ctx, *buffer)
	if cap(*buffer) <= maxPooled {
		records.Put(buffer)
	}
	if err != nil {
		return fmt.Errorf("the event %s: %w", e.Type, err)
	}
	p.stored(e)
	return nil
}

// StoreAll implements events.Publisher.
func (p *Publisher) StoreAll(ctx context.Context, all []*events.Event, errs []error) {
	n := 0
	l, err := p.log()
	if err == nil {
		bodies := make([][]byte, len(all))
		for i, e := range all {
			bodies[i] = events.AppendRecord(nil, e)
		}
		n, err = l.AppendAll(ctx, bodies)
	}
	for i, e := range all {
		if i < n {
			p.stored(e)
		} else {
			errs[i] = fmt.Errorf("the event %s: %w", e.Type, err)
		}
	}
}

// stored counts an event for those that will get it.
func (p *Publisher) stored(e *events.Event) {
	if len(p.runners) == 0 {
		p.bus.options.Observer.Event("published", embedded, e.Topic, 1)
	}
	for _, r := range p.runners {
		if e.For(r.name) {
			p.bus.options.Observer.Event("published", r.name, e.Topic, 1)
		}
	}
}

// Lost implements events.Publisher.
func (p *Publisher) Lost(e *events.Event) {
	for _, r := range p.runners {
		if e.For(r.name) {
			p.bus.options.Observer.Event("lost", r.name, e.Topic, 1)
		}
	}
	if len(p.runners) == 0 {
		p.bus.options.Observer.Event("lost", embedded, e.Topic, 1)
	}
}

// Begin implements events.Publisher.
func (p *Publisher) Begin(ctx context.Context, e *events.Event) (events.Intent, error) {
	p.bus.mu.Lock()
	in := p.bus.intents
	p.bus.mu.Unlock()
	if in == nil {
		return nil, ErrNoLog
	}
	if why := p.bus.removed.Load(); why != nil {
		return nil, *why
	}
	if err := in.begin(ctx, e); err != nil {
		return nil, fmt.Errorf("the intent of %s: %w", e.Type, err)
	}
	return &intent{p, in, e.ID}, nil
}

// intent is one that is open.
type intent struct {
	p  *Publisher
	in *intents
	id string
}

// Complete implements events.Intent.
func (i *intent) Complete(ctx context.Context, e *events.Event) error {
	if err := i.in.complete(ctx, i.id, e); err != nil {
		return fmt.Errorf("what became of an intent: %w", err)
	}
	if e != nil {
		i.p.stored(e)
	}
	return nil
}

// sinkNames are the names of the publisher's sinks and readers.
func (p *Publisher) sinkNames() []string {
	var names []string
	for _, r := range p.runners {
		names = append(names, r.name)
	}
	return append(names, p.readers...)
}
