package bus

import (
	"slices"

	"github.com/transom-gateway/transom/events"
)

// Feed says which readers of the log, besides sinks, the configuration of the publisher has.
// They keep their places, and what is published best effort comes into the log for them.
func (p *Publisher) Feed(names ...string) {
	b := p.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	p.readers = slices.Clone(names)
	if len(names) == 0 || p.toLog != nil {
		return
	}
	if b.toLog == nil {
		b.toLog = b.start(embedded, logSink{b}, false)
	}
	p.toReaders = b.toLog
}

// feed gives an event that is published best effort to the readers of the log alone: sinks get it
// otherwise.
func (p *Publisher) feed(e *events.Event) {
	var names []string
	for _, name := range p.readers {
		if e.For(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	own := *e
	own.Sinks = names
	p.toReaders.offer(&own)
}
