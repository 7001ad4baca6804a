package upstream

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/transport"
)

const (
	// maxWaiting bounds the calls that wait for room on the connections of one
	// backend.
	maxWaiting = 1000
	// maxWait bounds how long one of them does, within the call's own deadline.
	maxWait = 5 * time.Second
	// waitLogInterval is how often the log hears that calls wait.
	waitLogInterval = time.Minute
)

// Errors of calls for which there was no room.
var (
	errNoRoom = status.Errorf(codes.Unavailable,
		"the backend takes no more calls at once: its connections have all the streams that it allows, and none ended within %s", maxWait)
	errLongLine = status.Errorf(codes.ResourceExhausted,
		"the backend takes no more calls at once, and %d calls wait for it already", maxWaiting)
)

// What the log hears of calls that wait.
const (
	callsWait    = "calls wait: the connections to the backend have all the streams that it allows; raise its limit of concurrent streams, or connections"
	requestsWait = "requests wait: the servers have as many as max_connections allows; raise it, or add servers"
)

// line holds the calls that wait because each connection has all the streams that
// its server allows: first come, first served.
type line struct {
	waiting atomic.Int32 // len(waiters); 0 is all that a call looks at as a rule

	mu      sync.Mutex
	waiters []*waiter // by their numbers
	last    uint64    // number given out
	total   uint64    // calls that waited
	served  uint64    // those of them for which there was room in the end
	refused uint64    // those that waited in vain
	logged  time.Time // when the log heard last
	advice  string    // that the log hears
}

// waiter is one call in line.
type waiter struct {
	number uint64
	called chan struct{}   // closed when it is its turn
	conn   *transport.Conn // keeps a stream for it; nil: it is to look anew
	at     *Endpoint       // keeps a place for it, of plain HTTP; nil: as above
}

// place is a call's place in the line. The zero place is that of a call that has not
// waited yet.
type place struct {
	number  uint64
	until   time.Time
	counted bool // what became of it
}

// wait returns the connection that keeps a stream for the call when it is its
// turn, or nil where there is no connection any more. A call that waits again does
// so at its old place.
func (l *line) wait(ctx context.Context, p *place, w *waiter) (*transport.Conn, error) {
	timer := time.NewTimer(time.Until(p.until))
	defer timer.Stop()
	select {
	case <-w.called:
		return w.conn, nil
	case <-timer.C:
		if l.leave(w) {
			return nil, errNoRoom
		}
		return w.conn, nil // it was called at the last moment
	case <-ctx.Done():
		if !l.leave(w) && w.conn != nil {
			w.conn.Return()
		}
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// hand gives a place at an endpoint to the first in line and reports whether there was
// one.
func (l *line) hand(e *Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiters) == 0 {
		return false
	}
	l.waiters[0].at = e
	l.call(1)
	return true
}

// next has the first in line look anew.
func (l *line) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.call(min(1, len(l.waiters)))
}

// join puts a call into the line.
func (l *line) join(p *place, log *slog.Logger) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.number == 0 {
		l.tell(log)
		l.total++
		if len(l.waiters) >= maxWaiting {
			l.refused++
			return nil, errLongLine
		}
		l.last++
		*p = place{number: l.last, until: time.Now().Add(maxWait)}
	}
	w := &waiter{number: p.number, called: make(chan struct{})}
	i, _ := slices.BinarySearchFunc(l.waiters, w.number, func(w *waiter, number uint64) int {
		return int(int64(w.number - number))
	})
	l.waiters = slices.Insert(l.waiters, i, w)
	l.waiting.Store(int32(len(l.waiters)))
	return w, nil
}

// leave reports whether the waiter was still in line.
func (l *line) leave(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiters, w)
	if i < 0 {
		return false
	}
	l.waiters = slices.Delete(l.waiters, i, i+1)
	l.waiting.Store(int32(len(l.waiters)))
	return true
}

// end counts what became of a call that waited; it is nothing for others. A call
// whose connection broke before it could be sent waits on, or fails: that it was
// called once says nothing yet.
func (l *line) end(p *place, served bool) {
	if p.number == 0 || p.counted {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.counted = true
	if served {
		l.served++
	} else {
		l.refused++
	}
}

// take gives a stream of the connection to the first in line and reports whether
// there was one. The connection calls it, with its lock held.
func (l *line) take(conn *transport.Conn) bool {
	if l.waiting.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiters) == 0 {
		return false
	}
	l.waiters[0].conn = conn
	l.call(1)
	return true
}

// dissolve has all look anew.
func (l *line) dissolve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.call(len(l.waiters))
}

// call calls the first n. l.mu is held.
func (l *line) call(n int) {
	for _, w := range l.waiters[:n] {
		close(w.called)
	}
	l.waiters = slices.Delete(l.waiters, 0, n)
	l.waiting.Store(int32(len(l.waiters)))
}

// tell tells the log, once in a while. l.mu is held.
func (l *line) tell(log *slog.Logger) {
	if now := time.Now(); now.Sub(l.logged) > waitLogInterval {
		l.logged = now
		log.Warn(l.advice,
			"waiting", len(l.waiters)+1, "waited_before", l.total, "refused_before", l.refused)
	}
}

// counts are how many calls wait, have waited and found room, and have waited in vain.
func (l *line) counts() (waiting int, served, refused uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiters), l.served, l.refused
}
