package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// budgetWindow is the time over which retries are counted, in seconds.
	budgetWindow = 10
	// budgetReserve is how many retries a second are allowed beside the share, for
	// backends that have few calls.
	budgetReserve = 10
)

// Budget bounds the retries of all calls to a backend, so that a backend in trouble
// does not get a multiple of its load (Traffic 75).
type Budget struct {
	calls [budgetWindow + 1]bucket // one more than are counted: the one that is filled

	mu      sync.Mutex // guards what calls are emptied, and retries
	retries [budgetWindow + 1]bucket
}

// bucket counts what began in one second of the clock.
type bucket struct {
	second atomic.Int64
	n      atomic.Int64
}

// Began counts a call that may be retried.
func (b *Budget) Began() {
	second := time.Now().Unix()
	in := &b.calls[second%int64(len(b.calls))]
	if in.second.Load() != second {
		b.mu.Lock()
		in.empty(second)
		b.mu.Unlock()
	}
	in.n.Add(1)
}

// Take reports whether one retry more is within percent of the calls of the last
// seconds, and counts it if so.
func (b *Budget) Take(percent uint32) bool {
	second := time.Now().Unix()
	b.mu.Lock()
	defer b.mu.Unlock()
	calls, retries := count(&b.calls, second), count(&b.retries, second)
	if (retries+1)*100 > calls*int64(percent)+budgetReserve*budgetWindow*100 {
		return false
	}
	in := &b.retries[second%int64(len(b.retries))]
	in.empty(second)
	in.n.Add(1)
	return true
}

// empty begins a second. Budget.mu is held.
func (b *bucket) empty(second int64) {
	if b.second.Load() != second {
		b.n.Store(0)
		b.second.Store(second)
	}
}

func count(buckets *[budgetWindow + 1]bucket, now int64) (n int64) {
	for i := range buckets {
		if second := buckets[i].second.Load(); second > now-budgetWindow && second <= now {
			n += buckets[i].n.Load()
		}
	}
	return n
}
