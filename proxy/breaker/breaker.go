// Package breaker stops calls that would fail: a Breaker opens when too many have
// failed, and lets probes through after a while to find out whether to close. It knows
// neither calls nor what failing is.
//
//	permit, left, ok := b.Ask()
//	if !ok { … } // come again after left
//	b.Tell(permit, breaker.Failure)
//
// A call that a closed Breaker lets through costs one atomic load, and no lock and no
// memory, as does what it tells in the end.
package breaker

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// State is what a Breaker does with calls.
type State uint8

// The states. Those by hand stay until they are told otherwise.
const (
	Closed       State = iota // calls pass
	Open                      // none do
	HalfOpen                  // probes do
	ClosedByHand              // calls pass, whatever becomes of them
	OpenByHand                // none do
)

// String is the state's name for logs and people.
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half_open"
	case ClosedByHand:
		return "closed_by_hand"
	}
	return "open_by_hand"
}

// Result is what became of a call.
type Result uint8

// The results. Nothing is that of a call which says nothing of the backend: it was
// cancelled by its client, or refused before it was sent.
const (
	Nothing Result = iota
	Success
	Failure
)

// Options are when a Breaker opens and closes. They are comparable.
type Options struct {
	// Consecutive is how many failures in a row open it; 0 for no such number.
	Consecutive uint32
	// Percent is the share of failures among at least MinCalls calls of the last Window
	// that opens it; 0 for no such share.
	Percent, MinCalls uint32
	Window            time.Duration
	// OpenFor is how long it stays open, give or take a fifth; twice as long after each
	// probe that failed, up to ten times.
	OpenFor time.Duration
	// Probes is how many calls pass after that, and must succeed to close it.
	Probes uint32
}

const (
	// maxTimes bounds how often OpenFor a Breaker is open.
	maxTimes = 10
	// askAgain is when to come again where probes are under way.
	askAgain = time.Second
	// minPatience is the least time after which a probe without a result, such as a
	// stream that waits for its first message, gives its place to another call.
	minPatience = 10 * time.Second
)

// Change is a change of the state.
type Change struct {
	From, To State
	// Calls and Failures are those of the window that opened it, Row the failures in a row.
	Calls, Failures, Row uint32
	// For is how long it is open.
	For time.Duration
}

// Breaker decides which calls go to a backend. It is safe for concurrent use.
type Breaker struct {
	options Options
	changed func(Change)

	word   atomic.Uint64 // state, epoch and probes, as word packs them
	until  atomic.Int64  // when a probe may pass, by Now, or one more; set before word changes
	row    atomic.Uint32 // failures in a row
	window Window

	mu    sync.Mutex // held by whoever changes the state, but for Open to HalfOpen
	times uint32     // OpenFor
}

// New makes a closed Breaker. changed is told each change of its state, by the
// goroutine of the call that caused it; nil for nobody.
func New(o Options, changed func(Change)) *Breaker {
	b := &Breaker{options: o, changed: changed, times: 1}
	b.window.Span(o.Window)
	return b
}

// Permit is that of one call to pass; it is owed to Tell. The zero Permit is that of a
// call that nobody asked about.
type Permit struct {
	epoch uint32
	kind  permitKind
}

type permitKind uint8

const (
	noPermit permitKind = iota
	usual
	probe
)

// word packs what must change at once: the state, the epoch, which counts the changes
// of the state, and the probes of HalfOpen that are under way and that succeeded.
type word struct {
	state     State
	epoch     uint32 // 24 bits
	out, good uint32 // 16 bits each
}

func (w word) pack() uint64 {
	return uint64(w.state) | uint64(w.out)<<8 | uint64(w.good)<<24 | uint64(w.epoch&0xffffff)<<40
}

func unpack(v uint64) word {
	return word{State(v & 0xff), uint32(v >> 40), uint32(v >> 8 & 0xffff), uint32(v >> 24 & 0xffff)}
}

// Ask reports whether a call may pass, and where it may not, how long to stay away.
func (b *Breaker) Ask() (Permit, time.Duration, bool) {
	if v := b.word.Load(); State(v) == Closed {
		return Permit{uint32(v >> 40), usual}, 0, true
	}
	return b.askOpen()
}

// askOpen is Ask of a Breaker that was not closed a moment ago.
func (b *Breaker) askOpen() (Permit, time.Duration, bool) {
	for {
		v := b.word.Load()
		w := unpack(v)
		next := w
		switch w.state {
		case Closed, ClosedByHand:
			return Permit{w.epoch, usual}, 0, true
		case OpenByHand:
			return Permit{}, max(b.options.OpenFor, askAgain), false
		case Open:
			if left := time.Duration(b.until.Load() - Now()); left > 0 {
				return Permit{}, left, false
			}
			b.until.Store(b.patience())
			next = word{state: HalfOpen, epoch: w.epoch + 1, out: 1}
		case HalfOpen:
			if w.out+w.good < b.options.Probes {
				next.out++
			} else if !b.replaces() {
				return Permit{}, askAgain, false
			}
		}
		if !b.word.CompareAndSwap(v, next.pack()) {
			continue
		}
		if w.state == Open {
			b.tell(Change{From: Open, To: HalfOpen})
		}
		return Permit{unpack(next.pack()).epoch, probe}, 0, true
	}
}

// patience is until when the probes have their places.
func (b *Breaker) patience() int64 { return Now() + int64(max(b.options.OpenFor, minPatience)) }

// replaces reports whether a call takes the place of a probe that has no result for long.
func (b *Breaker) replaces() bool {
	until := b.until.Load()
	return until <= Now() && b.until.CompareAndSwap(until, b.patience())
}

// Refuses reports whether Ask would refuse a call now, without asking.
func (b *Breaker) Refuses() bool {
	switch w := unpack(b.word.Load()); w.state {
	case OpenByHand:
		return true
	case Open:
		return b.until.Load() > Now()
	case HalfOpen:
		return w.out+w.good >= b.options.Probes && b.until.Load() > Now()
	}
	return false
}

// Tell says what became of a call that Ask let pass.
func (b *Breaker) Tell(p Permit, r Result) {
	switch p.kind {
	case usual:
		if r != Nothing {
			b.count(p, r == Failure)
		}
	case probe:
		b.probed(p, r)
	}
}

// count counts a call of a closed Breaker. Those that began before it was opened say
// nothing of what it is now.
func (b *Breaker) count(p Permit, failed bool) {
	if v := b.word.Load(); State(v) != Closed || uint32(v>>40) != p.epoch {
		return
	}
	at := Now()
	b.window.Add(at, failed)
	if !failed {
		if b.row.Load() != 0 {
			b.row.Store(0)
		}
		return
	}
	row := b.row.Add(1)
	calls, failures := b.window.Sum(at)
	o := &b.options
	if o.Consecutive > 0 && row >= o.Consecutive || tooMany(calls, failures, o.MinCalls, o.Percent) {
		b.open(p.epoch, Closed, Change{Calls: calls, Failures: failures, Row: row})
	}
}

// tooMany reports whether so many failures are above a share of at least so many calls.
func tooMany(calls, failures, least, percent uint32) bool {
	return percent > 0 && calls >= max(least, 1) && uint64(failures)*100 >= uint64(calls)*uint64(percent)
}

// probed counts a probe.
func (b *Breaker) probed(p Permit, r Result) {
	if r == Failure {
		b.open(p.epoch, HalfOpen, Change{})
		return
	}
	for {
		v := b.word.Load()
		w := unpack(v)
		if w.state != HalfOpen || w.epoch != p.epoch {
			return
		}
		if w.out > 0 { // its place may be another's by now
			w.out--
		}
		if r == Success {
			if w.good++; w.good >= b.options.Probes {
				b.close(p.epoch)
				return
			}
		}
		if b.word.CompareAndSwap(v, w.pack()) {
			return
		}
	}
}

// open opens a Breaker that is in a state since an epoch.
func (b *Breaker) open(epoch uint32, from State, why Change) {
	b.mu.Lock()
	w := unpack(b.word.Load())
	if w.state != from || w.epoch != epoch {
		b.mu.Unlock()
		return
	}
	if from == HalfOpen {
		b.times = min(2*b.times, maxTimes)
	}
	why.From, why.To, why.For = from, Open, scattered(time.Duration(b.times)*b.options.OpenFor)
	b.until.Store(Now() + int64(why.For))
	// Probes of the same epoch may come and go meanwhile; the state changes here alone.
	b.word.Store(word{state: Open, epoch: epoch + 1}.pack())
	b.mu.Unlock()
	b.tell(why)
}

// close closes a Breaker whose probes have all succeeded.
func (b *Breaker) close(epoch uint32) {
	b.mu.Lock()
	w := unpack(b.word.Load())
	if w.state != HalfOpen || w.epoch != epoch {
		b.mu.Unlock()
		return
	}
	b.begin(Closed)
	b.mu.Unlock()
	b.tell(Change{From: HalfOpen, To: Closed})
}

// begin begins a state, with nothing counted. b.mu is held.
func (b *Breaker) begin(s State) {
	b.times = 1
	b.row.Store(0)
	b.window.Reset()
	b.word.Store(word{state: s, epoch: unpack(b.word.Load()).epoch + 1}.pack())
}

// Set puts the Breaker into a state by hand: OpenByHand and ClosedByHand stay, with
// Closed it decides for itself again.
func (b *Breaker) Set(s State) {
	b.mu.Lock()
	from := unpack(b.word.Load()).state
	b.begin(s)
	b.mu.Unlock()
	if from != s {
		b.tell(Change{From: from, To: s})
	}
}

func (b *Breaker) tell(c Change) {
	if b.changed != nil {
		b.changed(c)
	}
}

// Status is how a Breaker is, for people.
type Status struct {
	State State
	// Left is how long it stays open.
	Left time.Duration
	// Calls and Failures are those of the window, Row the failures in a row.
	Calls, Failures, Row uint32
}

// Status says how the Breaker is now.
func (b *Breaker) Status() Status {
	at := Now()
	s := Status{State: unpack(b.word.Load()).state, Row: b.row.Load()}
	s.Calls, s.Failures = b.window.Sum(at)
	if s.State == Open {
		s.Left = max(0, time.Duration(b.until.Load()-at))
	}
	return s
}

// Close implements io.Closer; there is nothing to close.
func (*Breaker) Close() error { return nil }

// scattered is a time longer or shorter by up to a fifth.
func scattered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// epochOfClock is what Now counts from.
var epochOfClock = time.Now()

// Now is the time by the monotonic clock alone, which is cheaper than time.Now.
func Now() int64 { return int64(time.Since(epochOfClock)) }
