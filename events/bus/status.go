package bus

import (
	"maps"
	"slices"
	"time"

	"github.com/transom-gateway/transom/events/log"
)

// Status is how a bus is.
type Status struct {
	Sinks []SinkStatus // by name; none twice
	// Log are the figures of the log; nil where it is not open.
	Log *log.Stats
}

// SinkStatus is how a sink is.
type SinkStatus struct {
	Name string
	// Queue and QueueBytes are what waits best effort.
	Queue      int
	QueueBytes int64
	// Lag is how many records of the log the sink has not acknowledged, be they for it or not.
	Lag uint64
	// Failure is why it does not take events, since Since; nil where it does, or has not been
	// tried.
	Failure error
	Since   time.Time
	// Silent is since when it has acknowledged nothing of what it was sent, and not failed either; zero where that
	// is less than a few seconds.
	Silent time.Time
	// Refusal is why it has rejected an event, if it has acknowledged none since then; nil else.
	Refusal error
	// NotReloaded says which of its files are not in effect as they are now; "" where all are.
	NotReloaded string
	// Trimmed is how many events it has sent without some of their attributes.
	Trimmed uint64
	// LastSuccess is when it has acknowledged an event last; zero if it never has.
	LastSuccess time.Time
}

// Status returns how the bus is at the moment.
func (b *Bus) Status() Status {
	b.mu.Lock()
	l := b.log
	all := make([]*Runner, 0, len(b.runners))
	for r := range b.runners {
		if r.closing.Err() == nil {
			all = append(all, r)
		}
	}
	b.mu.Unlock()
	var s Status
	cursors := map[string]uint64{}
	if l != nil {
		stats := l.Stats()
		s.Log, cursors = &stats, l.Cursors()
	}
	byName := map[string]*Runner{} // during a reload there may be two of one name
	for _, r := range all {
		byName[r.name] = r
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) { // to sort what is returned would be a sorting of its own, of 20 KB
		one := byName[name].status()
		if next, ok := cursors[name]; ok {
			one.Lag = s.Log.Next - min(next, s.Log.Next)
		}
		s.Sinks = append(s.Sinks, one)
	}
	return s
}

func (r *Runner) status() SinkStatus {
	r.health.mu.Lock()
	defer r.health.mu.Unlock()
	s := SinkStatus{Name: r.name, Queue: len(r.queue.events), QueueBytes: r.queue.bytes.Load(), Failure: r.health.err, Refusal: r.health.refusal, LastSuccess: r.health.last, Silent: r.health.silent()}
	if s.Failure != nil {
		s.Since = r.health.since
	}
	if sink, ok := r.sink.(interface{ NotReloaded() string }); ok {
		s.NotReloaded = sink.NotReloaded()
	}
	if sink, ok := r.sink.(interface{ Trimmed() uint64 }); ok {
		s.Trimmed = sink.Trimmed()
	}
	return s
}
