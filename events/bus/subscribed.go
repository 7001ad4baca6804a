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

// Listen says which topics clients listen to: their events come into the log also where they are
// published best effort, whichever sinks get them. It follows Feed.
func (p *Publisher) Listen(topics ...string) {
	b := p.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	p.topics = slices.Clone(topics)
	if len(topics) == 0 || p.toLog != nil {
		return
	}
	if b.toLog == nil {
		b.toLog = b.start(embedded, logSink{b}, false)
	}
	p.toReaders = b.toLog
}

// Listeners is what the events are for that only those get who listen to their topics.
const Listeners = "listeners"

// feed gives an event that is published best effort to the readers of the log alone: sinks get it
// otherwise.
func (p *Publisher) feed(e *events.Event) {
	var names []string
	for _, name := range p.readers {
		if e.For(name) {
			names = append(names, name)
		}
	}
	if slices.Contains(p.topics, e.Topic) {
		names = append(names, Listeners)
	}
	if len(names) == 0 {
		return
	}
	own := *e
	own.Sinks = names
	p.toReaders.offer(&own)
}
