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
)

// Guard follows the memory of one process. A nil Guard is always in the stage Normal. It is
// safe for concurrent use.
type Guard struct {
	Options

	stage   atomic.Int32
	entered [stages]atomic.Int64
	leaving chan struct{} // a look is wanted until the stage is Normal

	// held are the bytes of bodies that calls under way have in memory, and found what there was
	// of them and else at the last look.
	held  atomic.Int64
	found struct{ live, held, most atomic.Int64 }

	mu       sync.Mutex
	percents *Percents     // nil: off
	calm     chan struct{} // closed when the stage is below Shed
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
	g := &Guard{Options: o, leaving: make(chan struct{}, 1), percents: &Default, calm: make(chan struct{})}
	close(g.calm)
	return g
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

// look has the heap collected from time to time for as long as the stage is not Normal.
func (g *Guard) look(done <-chan struct{}) {
	for {
		select {
		case <-g.leaving:
		case <-done:
			return
		}
		for g.Stage() != Normal {
			before := g.Usage().Collections
			select {
			case <-time.After(look):
			case <-done:
				return
			}
			if g.Usage().Collections == before {
				runtime.GC()
			}
			g.review()
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

// Refuses reports whether calls are refused, those that are streams or others.
func (g *Guard) Refuses(streams bool) bool {
	stage := g.Stage()
	return stage >= Refuse || streams && stage >= Shed
}

// timesHeld is what a body takes of memory while it is read, as JSON in buffers that grow and as a
// message, in times its bytes.
const timesHeld = 3

// Hold notes that a call has so many bytes more of a body in memory, or fewer.
func (g *Guard) Hold(n int64) {
	if g != nil {
		g.held.Add(n)
	}
}

// Full reports whether no more of a body is to be read into memory: in the stage Refuse, and
// where what bodies have taken since the last look would lead to it. Between two collections
// there may be more of them than there is memory.
func (g *Guard) Full() bool {
	if g == nil {
		return false
	}
	most := g.found.most.Load()
	return g.Refuses(false) || most > 0 && g.found.live.Load()+timesHeld*(g.held.Load()-g.found.held.Load()) >= most
}

// Entered is how often a stage has begun, or one after it without it.
func (g *Guard) Entered(s Stage) int64 {
	if g == nil {
		return 0
	}
	return g.entered[s].Load()
}

// Await waits until the stage is below Shed, and reports false where done is closed before.
func (g *Guard) Await(done <-chan struct{}) bool {
	if g.Stage() < Shed {
		return true
	}
	g.mu.Lock()
	calm := g.calm
	g.mu.Unlock()
	select {
	case <-calm:
		return true
	case <-done:
		return false
	}
}

// review finds the stage anew.
func (g *Guard) review() {
	use := g.Usage()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.found.live.Store(int64(use.Live)) //nolint:gosec // no memory is that large
	g.found.held.Store(g.held.Load())
	g.found.most.Store(g.percents.most(use))
	before := g.Stage()
	now := g.percents.stage(use, before)
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
	if (before < Shed) != (now < Shed) {
		if now < Shed {
			close(g.calm)
		} else {
			g.calm = make(chan struct{})
		}
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

// most is where the stage Refuse begins, in bytes; 0 for never.
func (p *Percents) most(use heap.Use) int64 {
	if p == nil {
		return 0
	}
	return int64(use.Limit / 100 * uint64(max(p.Refuse, 1))) //nolint:gosec // never negative, and no memory is that large
}

// stage is the one that a use of memory leads to, from the one before.
func (p *Percents) stage(use heap.Use, before Stage) Stage {
	if p == nil || use.Limit == 0 {
		return Normal
	}
	now := Normal
	for s, percent := range [stages]int{Save: p.Save, Shed: p.Shed, Refuse: p.Refuse} {
		if s == int(Normal) {
			continue
		}
		if Stage(s) <= before {
			percent -= margin
		}
		if use.Live >= use.Limit/100*uint64(max(percent, 1)) { //nolint:gosec // never negative
			now = Stage(s)
		}
	}
	return now
}
