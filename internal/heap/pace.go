// Package heap sets how far the heap may grow between two collections, and the
// limit of the process's memory by that of its cgroup. It knows Go's runtime and
// the kernel's files, and nothing of Transom. What the environment sets by GOGC
// or GOMEMLIMIT stays.
//
//	defer heap.Pace(heap.Floor)()
//	limit := heap.Limit(os.DirFS("/"))
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// Floor is how far the heap may grow between two collections at least. A
// gateway's live heap is small, mostly the compiled schema; with Go's 100 % it
// would be collected hundreds of times a second under load.
const Floor = 96 << 20

// leastPercent is Go's own: a heap above the floor may double.
const leastPercent = 100

// leastHeap is what Go takes a smaller heap for, times GOGC.
const leastHeap = 4 << 20

// percentFor is the GOGC by which a heap grows by floor bytes, or by as much as
// there is. Go counts it from what was live and what else it scans.
func percentFor(scanned, floor uint64) int {
	return int(max(leastPercent, floor*100/max(scanned, leastHeap)))
}

// Pace lets the heap grow by the floor, in bytes, above what was live at the last
// collection, or double, whichever is more, until stop. GOGC is a ratio, so it is
// reckoned anew after each collection: one that was set for a small heap would
// let a large one grow without measure.
func Pace(floor uint64) (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	p := &pace{floor: floor, samples: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	p.percent = percentFor(p.scanned(), floor)
	before := debug.SetGCPercent(p.percent)
	p.await()
	return func() {
		if p.stopped.CompareAndSwap(false, true) {
			debug.SetGCPercent(before)
		}
	}
}

// pace is changed by one cleanup after the other.
type pace struct {
	floor   uint64
	percent int
	samples []metrics.Sample
	stopped atomic.Bool
}

// await calls collected after the next collection, which finds a new object
// that nobody holds. It is too large for the allocator to put others beside it.
func (p *pace) await() {
	sentinel := new([64]byte)
	runtime.AddCleanup(sentinel, (*pace).collected, p)
}

// collected follows the live heap. To set the percentage stops the world for a
// moment, so it is left where it would hardly change.
func (p *pace) collected() {
	if p.stopped.Load() {
		return
	}
	percent := percentFor(p.scanned(), p.floor)
	if difference := percent - p.percent; max(difference, -difference) > p.percent/16 {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	p.await()
}

// scanned is what the last collection found live in the heap, and the stacks
// and variables that it looked through.
func (p *pace) scanned() uint64 {
	metrics.Read(p.samples)
	sum := uint64(0)
	for _, s := range p.samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return sum
}
