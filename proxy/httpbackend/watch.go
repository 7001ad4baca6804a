package httpbackend

import (
	"net/http"
	"sync"
	"time"
)

// What an exchange waits for.
const (
	toConnect int32 = iota // a server, a connection: both have their own times
	toOpen                 // the header of the answer
	toAnswer               // the rest
	toPass                 // bytes, after an upgrade
)

// epoch is what moved counts from.
var epoch = time.Now()

func now() int64 { return int64(time.Since(epoch)) }

// move notes that something moved: bytes, in either direction.
func (e *exchange) move() { e.moved.Store(now()) }

// received notes that bytes came from the server. A piece of the answer's header is no
// progress: all of it is to be there in time.
func (e *exchange) received() {
	if e.state.Load() != toOpen {
		e.move()
	}
}

// enter notes what the exchange waits for now.
func (e *exchange) enter(state int32) {
	e.move()
	e.state.Store(state)
}

// watch looks at an exchange when it may have waited too long. It costs an exchange no
// memory of its own, and no more than setting a timer where it is over in time.
type watch struct {
	mu    sync.Mutex
	timer *time.Timer
	e     *exchange // nil when it is over
}

var watches sync.Pool // of *watch

// beginWatch has the exchange watched. unwatch must be called.
func (e *exchange) beginWatch() {
	e.enter(toConnect)
	w, ok := watches.Get().(*watch)
	if !ok {
		w = new(watch)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.e, e.watch = e, w
	if w.timer == nil {
		w.timer = time.AfterFunc(e.shortest(), w.look)
	} else {
		w.timer.Reset(e.shortest())
	}
}

// unwatch ends the watch.
func (e *exchange) unwatch() {
	w := e.watch
	w.mu.Lock()
	w.timer.Stop()
	w.e = nil
	w.mu.Unlock()
	e.watch = nil
	watches.Put(w)
}

// look is called by the timer. One that fired for an exchange before may call it too
// early, which does no harm.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.e == nil {
		return
	}
	limit, why := w.e.limit()
	left := limit - time.Duration(now()-w.e.moved.Load())
	if left > 0 {
		w.timer.Reset(min(left, w.e.shortest())) // it may wait for something else then
		return
	}
	w.e.breakOff(why)
}

// limit is how long the exchange may wait as it does now, and why it ends otherwise.
func (e *exchange) limit() (time.Duration, *Error) {
	switch e.state.Load() {
	case toConnect:
		return time.Duration(now()-e.moved.Load()) + e.u.times.ResponseHeader, nil // ask again
	case toOpen:
		if !e.body.reading.Load() {
			return e.u.times.ResponseHeader, errLateHeader(e.u.times.ResponseHeader)
		}
	case toPass:
		return e.idleLimit(e.u.times.Upgraded)
	}
	return e.idleLimit(e.u.times.Idle)
}

// idleLimit is the time without a byte, where the upstream has one of its own.
func (e *exchange) idleLimit(ofUpstream time.Duration) (time.Duration, *Error) {
	if e.Idle > 0 {
		return e.Idle, errLateIdle(e.Idle, "idle_timeout")
	}
	return ofUpstream, errLateIdle(ofUpstream, "timeouts.idle")
}

// shortest is after which time the exchange may be late first.
func (e *exchange) shortest() time.Duration {
	if e.Idle > 0 {
		return min(e.Idle, e.u.times.shortest())
	}
	return e.u.times.shortest()
}

// breakOff ends whatever the exchange waits for.
func (e *exchange) breakOff(why *Error) {
	e.late.Store(why)
	if e.cancel != nil {
		e.cancel()
	}
	e.interrupted()
	if e.writing.Load() {
		_ = http.NewResponseController(e.W).SetWriteDeadline(time.Unix(1, 0)) // it fails for recorders only
	}
}
