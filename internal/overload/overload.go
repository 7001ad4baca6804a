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
	// the last one where that is longer, but at most look: they must not take all time.
	pause      = 50 * time.Millisecond
	timesPause = 4
	// glance is how often it is asked whether memory that was short still is.
	glance = 10 * time.Millisecond
	// glanceBytes is how much comes between two questions whether it is short, in bytes.
	glanceBytes = 1 << 20
	// beyond is the part of the limit by which Go may exceed it: a collection that runs takes some,
	// too.
	beyond = 16
)

// What is expected of memory until the next look, in bytes.
const (
	// timesRead is what a body takes while it is read, as JSON in buffers that grow and as a message,
	// in times its bytes.
	timesRead = 3
	// ofConnection is what one takes whose request is refused: 11 KiB of the heap, a stack of
	// 16 KiB and what is written. Idle ones take less, but all may ask at the same time.
	ofConnection = 36 << 10
	// ofCall is what one takes besides. A WebSocket takes up to 60 KiB with its connection.
	ofCall = 28 << 10
)

// Guard follows the memory of one process. A nil Guard is always in the stage Normal. It is
// safe for concurrent use.
//
// Between two collections far more may come than there is memory for, so what calls, connections
// and bodies take is counted beside what the last collection left. What is not counted, such as answers,
// shows in what Go holds: where that is beyond its limit, as collections do not keep up, nothing
// more begins until it is not.
type Guard struct {
	Options

	stage   atomic.Int32
	entered [stages]atomic.Int64
	leaving chan struct{} // a look is wanted until the stage is Normal
	doubts  chan struct{} // a look is wanted at once

	// read are the bytes of bodies that have ever been read into memory: what is held no more is
	// garbage until the next collection.
	read, connections atomic.Int64
	// come is all that has come, in bytes, as far as it is known.
	come atomic.Int64
	// short is whether Go holds more than its limit.
	short atomic.Bool
	calls atomic.Pointer[atomic.Int64] // nil: they are not counted
	// rest is what the last look found beside calls and connections, before what had been read, and
	// most where stages begin, 0 for never.
	rest, before atomic.Int64
	most         [stages]atomic.Int64
	// doubtful is half-way there, from where on a look is wanted.
	doubtful [stages]atomic.Int64

	mu       sync.Mutex
	percents *Percents     // nil: off
	next     chan struct{} // closed by the next look
	// found is the collection that was last looked at, own the least that one has left, and
	// standing what calls and connections were expected to take before it began.
	found, own uint64
	standing   int64
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
	g.review() // the limit may have been set since, and the next collection is far
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
				g.collect()
			}
			g.review()
		case <-g.soon():
			g.glance()
		case <-g.doubts:
			if !g.ready(ready, done) {
				return
			}
			start := time.Now()
			g.collect()
			g.review()
			ready = time.After(min(max(pause, timesPause*time.Since(start)), look))
		case <-done:
			return
		}
	}
}

// ready waits until then, nil for no time, and reports false where done is closed before.
func (g *Guard) ready(then <-chan time.Time, done <-chan struct{}) bool {
	if then == nil {
		return true
	}
	for {
		select {
		case <-then:
			return true
		case <-g.soon():
			g.glance()
		case <-done:
			return false
		}
	}
}

// soon is when a glance is due; nil for never.
func (g *Guard) soon() <-chan time.Time {
	if !g.short.Load() {
		return nil
	}
	return time.After(glance)
}

// collect collects the heap. What comes meanwhile may be in what is left, or not.
func (g *Guard) collect() {
	g.mu.Lock()
	g.standing = g.levels()
	g.mu.Unlock()
	runtime.GC()
}

// glance looks whether Go holds more than its limit.
func (g *Guard) glance() {
	use := g.Usage()
	g.mu.Lock()
	defer g.mu.Unlock()
	short := g.percents != nil && use.Limit > 0 && use.Held > use.Limit+use.Limit/beyond
	if g.short.Swap(short) && !short {
		g.wake()
	}
	if short {
		g.doubt()
	}
}

// Come notes that so many bytes have come into memory.
func (g *Guard) Come(n int64) {
	if g == nil {
		return
	}
	if now := g.come.Add(n); now/glanceBytes != (now-n)/glanceBytes {
		g.glance()
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
func (g *Guard) at(s Stage) bool { return g.with(s, 0) }

// with is at with so many bytes more.
func (g *Guard) with(s Stage, more int64) bool {
	if g.Stage() >= s || g.short.Load() {
		return true
	}
	most := g.most[s].Load()
	if most == 0 {
		return false
	}
	expected := g.rest.Load() + g.levels() + timesRead*(g.read.Load()-g.before.Load()) + more
	if expected < g.doubtful[s].Load() {
		return false
	}
	g.doubt()
	return expected >= most
}

// doubt has the heap looked at at once.
func (g *Guard) doubt() {
	select {
	case g.doubts <- struct{}{}:
	default: // one is enough
	}
}

// levels are what calls and connections are expected to take.
func (g *Guard) levels() int64 {
	n := ofConnection * g.connections.Load()
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
	g.Come(ofCall)
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
		g.Come(n)
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
		g.Come(ofConnection * max(n, 0))
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
		if !g.Crowded() {
			return true
		}
		select {
		case <-next:
		case <-done:
			return false
		}
	}
}

// Crowded reports whether there is no memory for another connection. One that has not asked for
// anything is about to: whoever let in as many as there is memory for would have to refuse them all.
func (g *Guard) Crowded() bool {
	if g == nil {
		return false
	}
	silent := g.connections.Load()
	if calls := g.calls.Load(); calls != nil {
		silent -= calls.Load()
	}
	return g.with(Shed, ofCall*max(silent, 0))
}

// review finds the stage anew.
func (g *Guard) review() {
	use := g.Usage()
	g.mu.Lock()
	defer g.mu.Unlock()
	if use.Collections != g.found {
		g.recount(use)
	}
	for s := Save; s <= Refuse; s++ {
		most := g.percents.most(s, use)
		g.most[s].Store(most)
		g.doubtful[s].Store((most + min(int64(use.Live), most)) / 2) //nolint:gosec // no memory is that large
	}
	before := g.Stage()
	now := g.percents.stage(use, before)
	g.enter(now, before, use)
	g.wake()
}

// recount begins to count anew, from what a collection has left. g.mu is held.
func (g *Guard) recount(use heap.Use) {
	if g.own == 0 || use.Live < g.own {
		g.own = use.Live
	}
	// Calls and connections may have come after the collection, which is not told at once: those that
	// were there before it are in what is left. They may take less than is expected, but all of
	// it sooner or later.
	levels := g.levels()
	g.rest.Store(max(int64(use.Live)-min(g.standing, levels), int64(g.own))) //nolint:gosec // no memory is that large
	g.before.Store(g.read.Load())
	g.found, g.standing = use.Collections, levels
}

// wake has those who wait look again. g.mu is held.
func (g *Guard) wake() {
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
