package bus

import (
	"sync/atomic"

	"github.com/transom-gateway/transom/events"
)

// How much waits for one sink best effort.
const (
	maxQueue      = 8192
	maxQueueBytes = 8 << 20
	// overhead is what an event takes in memory beside its texts and data.
	overhead = 300
)

// queue holds events for one sink, bounded by their number and their bytes.
type queue struct {
	events chan *events.Event
	bytes  atomic.Int64
}

func newQueue() *queue { return &queue{events: make(chan *events.Event, maxQueue)} }

// offer adds an event, and reports whether there was room.
func (q *queue) offer(e *events.Event) bool {
	n := sizeOf(e)
	if q.bytes.Add(n) > maxQueueBytes {
		q.bytes.Add(-n)
		return false
	}
	select {
	case q.events <- e:
		return true
	default:
		q.bytes.Add(-n)
		return false
	}
}

// took notes that an event was received of events.
func (q *queue) took(e *events.Event) { q.bytes.Add(-sizeOf(e)) }

// more receives what is there without waiting, up to most in batch.
func (q *queue) more(batch []*events.Event, most int) []*events.Event {
	for len(batch) < most {
		select {
		case e := <-q.events:
			q.took(e)
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

func sizeOf(e *events.Event) int64 {
	n := overhead + len(e.ID) + len(e.Data) + len(e.Subject) + len(e.Key)
	for i := range e.Extensions {
		n += len(e.Extensions[i].Value)
	}
	return int64(n)
}
