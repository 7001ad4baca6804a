package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// budgetWindow is the time over which retries are counted, in seconds.
	budgetWindow = 10
	// budgetPart is one of the parts of it that are counted by themselves, and
	// budgetParts how many they are.
	budgetPart  = 250 * time.Millisecond
	budgetParts = int64(budgetWindow * time.Second / budgetPart)
	// budgetReserve is how many retries a second are allowed beside the share, for
	// backends that have few calls.
	budgetReserve = 10
)

// Budget bounds the retries of all calls to a backend, so that a backend in trouble
// does not get a multiple of its load (Traffic 75).
type Budget struct {
	calls [budgetParts + 1]bucket

	mu      sync.Mutex // guards what calls are emptied, and retries
	retries [budgetParts + 1]bucket
}

// bucket counts what began in one part of the time.
type bucket struct {
	part atomic.Int64 // since 1970
	n    atomic.Int64
}

// Began counts a call that may be retried.
func (b *Budget) Began() {
	now := currentPart()
	in := &b.calls[now%int64(len(b.calls))]
	if in.part.Load() != now {
		b.mu.Lock()
		in.empty(now)
		b.mu.Unlock()
	}
	in.n.Add(1)
}

// Take reports whether one retry more is within percent of the calls of the last
// seconds, and counts it if so.
func (b *Budget) Take(percent uint32) bool {
	now := currentPart()
	b.mu.Lock()
	defer b.mu.Unlock()
	// The part that is being filled began a while ago. Calls are counted over a little less
	// than the window and retries over a little more, so that no window has more.
	calls, retries := count(&b.calls, now-budgetParts+1, now), count(&b.retries, now-budgetParts, now)
	if (retries+1)*100 > calls*int64(percent)+budgetReserve*budgetWindow*100 {
		return false
	}
	in := &b.retries[now%int64(len(b.retries))]
	in.empty(now)
	in.n.Add(1)
	return true
}

func currentPart() int64 { return time.Now().UnixNano() / int64(budgetPart) }

// empty begins a part. Budget.mu is held.
func (b *bucket) empty(part int64) {
	if b.part.Load() != part {
		b.n.Store(0)
		b.part.Store(part)
	}
}

// count is what began in the parts from first to last.
func count(buckets *[budgetParts + 1]bucket, first, last int64) (n int64) {
	for i := range buckets {
		if part := buckets[i].part.Load(); first <= part && part <= last {
			n += buckets[i].n.Load()
		}
	}
	return n
}
