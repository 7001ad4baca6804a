// Package overload says how near what is live in the process's memory has come to its limit,
// in stages, so that the parts that fill it can do without in time (Traffic 200).
//
//	guard := overload.New(overload.Options{Log: log})
//	defer guard.Start()()
//	if guard.Stage() >= overload.Shed { … refuse … }
package overload

import (
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/heap"
)

// Stage is what is done without at the moment. Each has those before it, too.
type Stage int32

// The stages.
const (
	// Normal does everything.
	Normal Stage = iota
	// Save keeps nothing that calls can do without: bodies for another attempt, answers of
	// the cache.
	Save
	// Shed accepts no connections, and refuses streams and upgrades.
	Shed
	// Refuse refuses all calls but those of grpc.health.v1.
	Refuse

	stages = 4
)

// String is the stage's name in logs and metrics.
func (s Stage) String() string {
	return [stages]string{"normal", "save", "shed", "refuse"}[s]
}

// Percents are the parts of the limit from which a stage holds. One ends where what is live is
// margin points below it.
type Percents struct{ Save, Shed, Refuse int }

// Default are the Percents where nothing else is said.
var Default = Percents{Save: 75, Shed: 85, Refuse: 92}

const (
	margin = 5
	// look is how often, in a stage other than Normal, the heap is collected where nothing
	// else has it collected: what is refused takes no memory.
	look = time.Second
	// pause is between two looks that something made necessary at once, or as long as timesPause of
	// the last one where that is longer: they must not take all time.
	pause      = 50 * time.Millisecond
	timesPause = 4
)

// What is expected of memory until the next look, in bytes.
const (
	// timesRead is what a body takes while it is read, as JSON in buffers that grow and as a message,
	// in times its bytes.
	timesRead = 3
	// ofCall and ofConnection are what one takes at least: its stacks and buffers.
	ofCall, ofConnection = 32 << 10, 16 << 10
)

// Guard follows the memory of one process. A nil Guard is always in the stage Normal. It is
// safe for concurrent use.
//
// Between two collections far more may come than there is memory for, so what calls, connections
// and bodies take is counted beside what the last collection left.
type Guard struct {
	Options

	stage   atomic.Int32
	entered [stages]atomic.Int64
	leaving chan struct{} // a look is wanted until the stage is Normal
	doubts  chan struct{} // a look is wanted at once

	// read are the bytes of bodies that have ever been read into memory: what is held no more is
	// garbage until the next collection.
	read, connections atomic.Int64
	calls             atomic.Pointer[atomic.Int64] // nil: they are not counted
	// base is what the last look found without what is counted, and most where stages begin,
	// 0 for never.
	base atomic.Int64
	most [stages]atomic.Int64
	// doubtful is half-way there, from where on a look is wanted.
	doubtful [stages]atomic.Int64

	mu       sync.Mutex
	percents *Percents     // nil: off
	next     chan struct{} // closed by the next look
}

// Options are the outside of a Guard.
type Options struct {
	// Log is told of each change of the stage. Nil: slog.Default().
	Log *slog.Logger
	// Saves is told whenever Saving changes, with what it is then. Nil: nobody is.
	Saves func(bool)
	// Usage says what is in use. Nil: heap.Usage.
	Usage func() heap.Use
}

// New returns a Guard that looks at nothing until its Start or Set.
func New(o Options) *Guard {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Saves == nil {
		o.Saves = func(bool) {}
	}
	if o.Usage == nil {
		o.Usage = heap.Usage
	}
	return &Guard{Options: o, leaving: make(chan struct{}, 1), doubts: make(chan struct{}, 1), percents: &Default, next: make(chan struct{})}
}

// Set says from when stages hold; nil for never.
func (g *Guard) Set(p *Percents) {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.percents = p
	g.mu.Unlock()
	g.review()
}

// Start follows the memory until stop.
func (g *Guard) Start() (stop func()) {
	end := heap.AfterEach(g.review)
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { g.look(done) })
	return sync.OnceFunc(func() {
		end()
		close(done)
		running.Wait()
	})
}

// look has the heap collected where nothing else does in time: from time to time while the stage is
// not Normal, and at once where more is expected to have come than there is memory for.
func (g *Guard) look(done <-chan struct{}) {
	var ready <-chan time.Time // nil: at once
	for {
		var again <-chan time.Time
		if g.Stage() != Normal {
			again = time.After(look)
		}
		before := g.Usage().Collections
		select {
		case <-g.leaving:
			continue
		case <-again:
			if g.Usage().Collections == before {
				runtime.GC()
			}
			g.review()
		case <-g.doubts:
			if ready != nil {
				select {
				case <-ready:
				case <-done:
					return
				}
			}
			start := time.Now()
			runtime.GC()
			g.review()
			ready = time.After(max(pause, timesPause*time.Since(start)))
		case <-done:
			return
		}
	}
}

// Stage is the stage at the moment.
func (g *Guard) Stage() Stage {
	if g == nil {
		return Normal
	}
	return Stage(g.stage.Load())
}

// Saving reports whether nothing is to be kept that calls can do without.
func (g *Guard) Saving() bool { return g.Stage() >= Save }

// at reports whether what a stage does without is done without: it holds, or what has come since the
// last look is expected to lead to it.
func (g *Guard) at(s Stage) bool {
	if g.Stage() >= s {
		return true
	}
	most := g.most[s].Load()
	if most == 0 {
		return false
	}
	expected := g.base.Load() + g.counted()
	if expected < g.doubtful[s].Load() {
		return false
	}
	select {
	case g.doubts <- struct{}{}:
	default: // one is enough
	}
	return expected >= most
}

// counted is what is expected of calls, connections and bodies.
func (g *Guard) counted() int64 {
	n := timesRead*g.read.Load() + ofConnection*g.connections.Load()
	if calls := g.calls.Load(); calls != nil {
		n += ofCall * calls.Load()
	}
	return n
}

// Refuses reports whether calls are refused, those that are streams or others.
func (g *Guard) Refuses(streams bool) bool {
	if g == nil {
		return false
	}
	if streams {
		return g.at(Shed)
	}
	return g.at(Refuse)
}

// Full reports whether no more of a body is to be read into memory.
func (g *Guard) Full() bool { return g != nil && g.at(Refuse) }

// Read notes that so many bytes of a body have come into memory.
func (g *Guard) Read(n int64) {
	if g != nil {
		g.read.Add(n)
	}
}

// Count says where the calls under way are counted.
func (g *Guard) Count(calls *atomic.Int64) {
	if g != nil {
		g.calls.Store(calls)
	}
}

// Connect notes that there is a connection more, or one less.
func (g *Guard) Connect(n int64) {
	if g != nil {
		g.connections.Add(n)
	}
}

// Entered is how often a stage has begun, or one after it without it.
func (g *Guard) Entered(s Stage) int64 {
	if g == nil {
		return 0
	}
	return g.entered[s].Load()
}

// Await waits until there is memory for a connection, and reports false where done is closed before.
func (g *Guard) Await(done <-chan struct{}) bool {
	if g == nil {
		return true
	}
	for {
		g.mu.Lock()
		next := g.next
		g.mu.Unlock()
		if !g.at(Shed) {
			return true
		}
		select {
		case <-next:
		case <-done:
			return false
		}
	}
}

// Crowded reports whether there is no memory for another connection.
func (g *Guard) Crowded() bool { return g != nil && g.at(Shed) }

// review finds the stage anew.
func (g *Guard) review() {
	use := g.Usage()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.base.Store(int64(use.Live) - g.counted()) //nolint:gosec // no memory is that large
	for s := Save; s <= Refuse; s++ {
		most := g.percents.most(s, use)
		g.most[s].Store(most)
		g.doubtful[s].Store((most + min(int64(use.Live), most)) / 2) //nolint:gosec // no memory is that large
	}
	before := g.Stage()
	now := g.percents.stage(use, before)
	g.enter(now, before, use)
	close(g.next)
	g.next = make(chan struct{})
}

// enter makes a stage the one that holds.
func (g *Guard) enter(now, before Stage, use heap.Use) {
	if now == before {
		return
	}
	for s := before + 1; s <= now; s++ {
		g.entered[s].Add(1)
	}
	g.stage.Store(int32(now))
	if (before < Save) != (now < Save) {
		g.Saves(now >= Save)
	}
	attrs := []any{"stage", now.String(), "before", before.String(), "live_bytes", use.Live, "limit_bytes", use.Limit}
	if now < before {
		g.Log.Info("memory is free again: "+now.does(), attrs...)
		return
	}
	g.Log.Warn("memory is nearly used up: "+now.does(), attrs...)
	select {
	case g.leaving <- struct{}{}:
	default: // one is enough
	}
}

// does says what a stage does without.
func (s Stage) does() string {
	return [stages]string{
		"all calls are served",
		"bodies are not kept for another attempt, and the cache keeps no further answers",
		"no connections are accepted, and streams and upgrades are refused",
		"all calls are refused but those of grpc.health.v1",
	}[s]
}

// of is the part of the limit from which a stage holds, in percent.
func (p *Percents) of(s Stage) int {
	return [stages]int{Save: p.Save, Shed: p.Shed, Refuse: p.Refuse}[s]
}

// most is where a stage begins, in bytes; 0 for never.
func (p *Percents) most(s Stage, use heap.Use) int64 {
	if p == nil {
		return 0
	}
	return int64(use.Limit / 100 * uint64(max(p.of(s), 1))) //nolint:gosec // never negative, and no memory is that large
}

// stage is the one that a use of memory leads to, from the one before.
func (p *Percents) stage(use heap.Use, before Stage) Stage {
	if p == nil || use.Limit == 0 {
		return Normal
	}
	now := Normal
	for s := Save; s <= Refuse; s++ {
		percent := p.of(s)
		if s <= before {
			percent -= margin
		}
		if use.Live >= use.Limit/100*uint64(max(percent, 1)) { //nolint:gosec // never negative
			now = s
		}
	}
	return now
}
