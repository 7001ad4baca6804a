package httpbackend

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// peekTime is how long reading is tried for, where that cannot be done without waiting.
const peekTime = time.Millisecond

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// sweepEvery is how often connections that wait for requests are looked at.
const sweepEvery = 5 * time.Second

// idle are the connections to one server that wait for requests, the one that was used
// last at the end.
type idle struct {
	mu    sync.Mutex
	links []*link
	// forgotten: nobody will look for connections here any more.
	forgotten atomic.Bool
}

// quiet reports whether reading brings nothing until a time. With one that is past, the
// socket is not read, but what TLS has read from it before is.
func (l *link) quiet(until time.Time) bool {
	if l.conn.SetReadDeadline(until) != nil {
		return false
	}
	var one [1]byte
	n, err := l.conn.Read(one[:])
	timeout, ok := err.(interface{ Timeout() bool })
	return n == 0 && ok && timeout.Timeout() && l.conn.SetReadDeadline(time.Time{}) == nil
}

// take returns the connection that was used last; nil for none.
func (i *idle) take() *link {
	i.mu.Lock()
	defer i.mu.Unlock()
	last := len(i.links) - 1
	if last < 0 {
		return nil
	}
	l := i.links[last]
	i.links[last] = nil
	i.links = i.links[:last]
	return l
}

// put adds a connection, if there is room and none are to be closed.
func (i *idle) put(l *link, closed *atomic.Bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if closed.Load() || i.forgotten.Load() || len(i.links) >= maxIdle {
		return false
	}
	i.links = append(i.links, l)
	return true
}

// forget reports whether there is no connection; then none is put here any more.
func (i *idle) forget() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.links) == 0 {
		i.forgotten.Store(true)
	}
	return len(i.links) == 0
}

// sweep closes the connections that have waited too long, or that the server has ended,
// and reports whether there are others. All of them are closed at the end.
func (i *idle) sweep(closed *atomic.Bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	oldest := now() - int64(idleTime)
	kept := i.links[:0]
	for _, l := range i.links {
		if closed.Load() || l.idleSince < oldest || !l.silent() {
			l.close()
			continue
		}
		kept = append(kept, l)
	}
	clear(i.links[len(kept):])
	i.links = kept
	return len(kept) > 0
}

// take returns a connection to a server: one that waits, or a new one, for which the server
// may choose the protocol of those that are offered.
func (u *Upstream) take(ctx context.Context, at *place, alpn []string) (*link, error) {
	for {
		l := at.idle.take()
		if l == nil {
			return u.newLink(ctx, at, alpn)
		}
		if l.idleSince >= now()-int64(idleTime) && l.silent() {
			return l, nil
		}
		l.close()
	}
}

// newLink connects to a server.
func (u *Upstream) newLink(ctx context.Context, at *place, alpn []string) (*link, error) {
	begun := time.Now()
	raw, err := u.connect(ctx, at)
	if err != nil {
		return nil, err
	}
	if u.tls == nil {
		return newLink(raw, raw, at), nil
	}
	secure, chosen, err := u.handshake(ctx, raw, at, alpn, begun)
	if err != nil {
		return nil, err
	}
	if chosen == "h2" {
		at.http1.Store(false)
		_ = secure.Close() // it is of no use here
		return nil, errHTTP2
	}
	return newLink(secure, raw, at), nil
}

// keepLink has a connection wait for another request.
func (u *Upstream) keepLink(l *link) {
	l.idleSince = now()
	if !l.at.idle.put(l, &u.closed) {
		l.close()
		return
	}
	if !u.sweeps.Load() && u.sweeps.CompareAndSwap(false, true) {
		u.sweepAgain()
	}
}

// sweepAgain sets the timer of sweep.
func (u *Upstream) sweepAgain() {
	u.sweeper.mu.Lock()
	defer u.sweeper.mu.Unlock()
	switch {
	case u.closed.Load():
	case u.sweeper.timer == nil:
		u.sweeper.timer = time.AfterFunc(sweepEvery, u.sweep)
	default:
		u.sweeper.timer.Reset(sweepEvery)
	}
}

// sweeper is the timer of sweep.
type sweeper struct {
	mu    sync.Mutex
	timer *time.Timer
}

// sweep looks at the connections that wait, as long as there are any.
func (u *Upstream) sweep() {
	u.sweeps.Store(false)
	left := false
	u.places.Range(func(_, p any) bool {
		if p.(*place).idle.sweep(&u.closed) { //nolint:forcetypeassert // it holds nothing else
			left = true
		}
		return true
	})
	if left && u.sweeps.CompareAndSwap(false, true) {
		u.sweepAgain()
	}
}

// closeLinks closes the connections that wait for requests. Those that carry one are
// closed after it.
func (u *Upstream) closeLinks() {
	u.closed.Store(true)
	u.sweeper.mu.Lock()
	if u.sweeper.timer != nil {
		u.sweeper.timer.Stop()
	}
	u.sweeper.mu.Unlock()
	u.sweep()
}
