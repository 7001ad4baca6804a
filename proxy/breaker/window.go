package breaker

import (
	"sync"
	"sync/atomic"
	"time"
)

// buckets is how many parts a Window has.
const buckets = 10

// Window counts calls and failures of the last while, in buckets. It is safe for
// concurrent use; what it counts while a bucket begins may be off by a call.
type Window struct {
	width int64 // of a bucket, in nanoseconds
	mu    sync.Mutex
	all   [buckets + 1]bucket // one more than are counted: the one that is filled
}

// bucket counts what ended within one width of the clock.
type bucket struct {
	number atomic.Int64 // of the bucket since the clock began, plus one; 0 for never used
	counts atomic.Uint64
}

const (
	oneCall    = 1
	oneFailure = 1 << 32
)

// Span says how long the while is. Only before the first Add.
func (w *Window) Span(d time.Duration) { w.width = max(1, int64(d)/buckets) }

// Add counts a call that ended at a time of the monotonic clock.
func (w *Window) Add(at int64, failed bool) {
	number := at/w.width + 1
	in := &w.all[uint64(number)%uint64(len(w.all))]
	if in.number.Load() != number {
		w.mu.Lock()
		if in.number.Load() != number {
			in.counts.Store(0)
			in.number.Store(number)
		}
		w.mu.Unlock()
	}
	if failed {
		in.counts.Add(oneCall | oneFailure)
	} else {
		in.counts.Add(oneCall)
	}
}

// Sum adds up the calls and failures of the while before a time.
func (w *Window) Sum(at int64) (calls, failures uint32) {
	last := at/w.width + 1
	for i := range w.all {
		if number := w.all[i].number.Load(); number > last-buckets && number <= last {
			n := w.all[i].counts.Load()
			calls += uint32(n)
			failures += uint32(n >> 32)
		}
	}
	return calls, failures
}

// Reset forgets all calls.
func (w *Window) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.all {
		w.all[i].counts.Store(0)
		w.all[i].number.Store(0)
	}
}
