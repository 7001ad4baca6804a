// Package heap sets how far the heap may grow between two collections, and the
// limit of the process's memory by that of its cgroup. It knows Go's runtime and
// the kernel's files, and nothing of Transom. What the environment sets by GOGC
// or GOMEMLIMIT stays.
//
//	defer heap.Pace(heap.Floor)()
//	limit := heap.Limit(os.DirFS("/"))
//	defer heap.AfterEach(func() { … heap.Usage() … })()
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Floor is how far the heap of a busy process may grow between two collections at least. A
// gateway's live heap is small, mostly the compiled schema; with Go's 100 % it
// would be collected hundreds of times a second under load.
const Floor = 96 << 20

// leastHeap is what Go takes a smaller heap for, times GOGC.
const leastHeap = 4 << 20

const (
	// seldom is after how long without a collection the heap may grow by half as much, and
	// often how soon the next one follows where it may grow by twice as much again.
	seldom = 4 * time.Second
	often  = time.Second
	// mostHalved is how many times it is halved.
	mostHalved = 2
)

// percentFor is the GOGC by which a heap grows by floor bytes, or by as many as a
// collection has to look through. Go counts it from all that was live.
func percentFor(found collection, floor uint64) int {
	return int(max(1, max(floor, found.pointers)*100/max(found.live, leastHeap)))
}

// Pace lets the heap grow by the floor, in bytes, above what was live at the last
// collection, until stop. Where the live heap has more than that in objects with
// pointers, it may grow by their size: a collection's work is to look through
// these, so with Go's own 100 % it does no more of it for each byte that is
// allocated. Bytes without pointers, such as messages, cost a collection nothing
// and let the heap grow no further, however many they are.
//
// GOGC is a ratio, so it is reckoned anew after each collection: one that was set
// for a small heap would let a large one grow without measure.
//
// All this is for a process that allocates much. Where collections are seldom, as
// with thousands of connections on which little happens, the heap grows by half of
// it and then a quarter: what is saved there is memory, and a collection more in
// some seconds costs nothing to speak of. And where the last collection before that found much
// more than there had been, as after thousands of clients that have gone by now, it is looked again: a
// quiet process would hold their memory for minutes.
func Pace(floor uint64) (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	p := newPace(floor)
	p.percent = percentFor(p.last(), floor)
	before := debug.SetGCPercent(p.percent)
	p.begin()
	end := AfterEach(func() { p.collected(time.Now()) })
	return sync.OnceFunc(func() {
		end()
		p.stop()
		debug.SetGCPercent(before)
	})
}

// pace is changed after one collection after the other, and where there is none for long.
type pace struct {
	mu      sync.Mutex
	floor   uint64
	percent int
	halved  int         // how many times the growth is halved
	least   uint64      // what was live when there was least of it, since it was looked again
	collect func()      // has the heap collected, twice: pools give things back by the second time
	since   time.Time   // when the last collection was
	quiet   *time.Timer // calls halve
	stopped bool
	samples []metrics.Sample
}

func newPace(floor uint64) *pace {
	p := &pace{floor: floor, samples: []metrics.Sample{
		{Name: "/gc/scan/heap:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	p.least = p.last().live
	p.collect = func() {
		runtime.GC()
		runtime.GC()
	}
	return p
}

// begin waits for the first collection, or for none. It holds p.mu until the timer can be seen by what
// that calls.
func (p *pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = time.Now()
	p.quiet = time.AfterFunc(seldom, p.halve)
}

// collected follows the live heap, and how often collections come.
func (p *pace) collected(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.since) < often {
		p.halved = max(p.halved-1, 0)
	}
	p.since = now
	p.least = min(p.least, p.last().live)
	p.quiet.Reset(seldom)
	p.set()
}

// halve is called where there was no collection for long.
func (p *pace) halve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
	case p.halved < mostHalved:
		p.halved++
		p.quiet.Reset(seldom)
		p.set()
	case p.last().live > p.least+p.floor/4:
		p.mu.Unlock()
		p.collect()
		p.mu.Lock()
		p.least = p.last().live // what is not garbage is there to stay
	}
}

// stop has nothing change any more.
func (p *pace) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.quiet.Stop()
}

// set sets the percentage. That stops the world for a moment, so it is left where it would hardly
// change. p.mu is locked.
func (p *pace) set() {
	percent := max(1, percentFor(p.last(), p.floor)>>p.halved)
	if difference := percent - p.percent; max(difference, -difference) > p.percent/16 {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
}

// collection is what the last collection found, in bytes.
type collection struct {
	live     uint64 // in the heap, and the stacks and variables that it looked through
	pointers uint64 // of the heap, in objects up to their last pointer
}

func (p *pace) last() (found collection) {
	metrics.Read(p.samples)
	for i, s := range p.samples {
		switch {
		case s.Value.Kind() != metrics.KindUint64:
		case i == 0:
			found.pointers = s.Value.Uint64()
		default:
			found.live += s.Value.Uint64()
		}
	}
	return found
}
