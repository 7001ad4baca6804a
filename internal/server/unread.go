package server

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// unreadWithin is how long a client of HTTP/3 has for what is left of an answer that is written.
const unreadWithin = 30 * time.Second

// unread ends a connection of HTTP/2 whose client asks for nothing more and does not take its answers: net/http keeps
// what is short of each, with its stream and a goroutine, until the client gives it a window, and takes the
// connection for one that is in use, of which idle_timeout is not the end.
type unread struct {
	// every is longer than a connection may be without a request.
	every time.Duration
	end   func()
	// done counts the requests whose handlers have returned.
	done atomic.Int64

	mu    sync.Mutex
	timer *time.Timer
	seen  int64 // of requests, when it was looked last and none was under way; else -1
}

// watch looks at the connection for as long as there is one, whose requests begun counts.
func (u *unread) watch(begun *atomic.Int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := weak.Make(u) // a connection that ends leaves nothing until then
	count := weak.Make(begun)
	u.seen = -1
	u.timer = time.AfterFunc(u.every, func() {
		if u, begun := of.Value(), count.Value(); u != nil && begun != nil {
			u.look(begun)
		}
	})
}

// look ends the connection where no request has come or been under way since it was looked last.
func (u *unread) look(begun *atomic.Int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	done := u.done.Load() // first: what has begun meanwhile is not done
	requests := begun.Load()
	switch {
	case requests != done:
		u.seen = -1
	case requests == u.seen:
		u.end()
		return
	default:
		u.seen = requests
	}
	u.timer.Reset(u.every)
}
