package heap

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
)

// AfterEach calls f after each collection until stop, by one goroutine at a time. It may
// miss one that follows another at once. f is not called any more when stop has returned.
func AfterEach(f func()) (stop func()) {
	a := &collections{f: f}
	a.await()
	return a.stop
}

type collections struct {
	mu      sync.Mutex
	f       func()
	stopped bool
}

// await calls collected after the next collection, which finds a new object
// that nobody holds. It is too large for the allocator to put others beside it.
func (a *collections) await() {
	sentinel := new([64]byte)
	runtime.AddCleanup(sentinel, (*collections).collected, a)
}

func (a *collections) collected() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return
	}
	a.f()
	a.await()
}

func (a *collections) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
}

// Use is what the process holds in memory, in bytes.
type Use struct {
	// Live is what the last collection left of the heap, and the stacks as they are.
	Live uint64
	// Held is all that Go has of the system but for what is free: beside what is live what has died since.
	Held uint64
	// Limit is Go's limit for all that it takes; 0 for none.
	Limit uint64
	// Collections is how many there have been.
	Collections uint64
}

// Usage reads what there is at the moment, without stopping anything.
func Usage() Use {
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/gc/gomemlimit:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples[:])
	number := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0 // another Go has no such metric
		}
		return samples[i].Value.Uint64()
	}
	u := Use{Live: number(0) + number(1), Limit: number(2), Collections: number(3)}
	if all, free := number(4), number(5)+number(6); free < all {
		u.Held = all - free
	}
	if u.Limit >= math.MaxInt64 {
		u.Limit = 0
	}
	return u
}
