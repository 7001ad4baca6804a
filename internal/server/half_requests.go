package server

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// halfRequests ends a connection of HTTP/3 whose client begins requests and does not end their heads: quic-go waits for
// those without a bound, and takes the connection for one that is in use, of which idle_timeout is not the end.
type halfRequests struct {
	next http.Handler
	// begun and ended count the requests whose heads have come.
	begun, ended atomic.Int64
	// opened is how many streams the client has opened at least: it must do so in their order.
	opened atomic.Int64
	// old is what opened was when it was looked last. late are the requests among those streams that begin only
	// after that; some may be counted that began just before.
	old, late atomic.Int64
	// every is longer than a connection may be without a request and the next head may take.
	every time.Duration
	// retire asks the client to make its next requests elsewhere. It does not wait.
	retire, end func()

	mu      sync.Mutex
	timer   *time.Timer
	seen    int64 // begun and ended when it was looked last
	missing int64 // of the old streams, those whose requests had not begun then
	retired bool
}

// ServeHTTP implements http.Handler.
func (h *halfRequests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var number int64 // of the stream, from 1
	if on, ok := r.Body.(interface{ StreamID() quic.StreamID }); ok {
		number = int64(on.StreamID())/4 + 1
	}
	h.open(number)
	h.begun.Add(1) // before old is read, and look sets that before it reads begun: no request goes unseen by both
	if number <= h.old.Load() {
		h.late.Add(1)
	}
	defer h.ended.Add(1)
	h.next.ServeHTTP(w, r)
}

// open notes that the client has opened a stream, and so all before it.
func (h *halfRequests) open(number int64) {
	for {
		opened := h.opened.Load()
		if number <= opened || h.opened.CompareAndSwap(opened, number) {
			return
		}
	}
}

// watch looks at the connection until stop.
func (h *halfRequests) watch() (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(h.every, h.look)
	return func() { h.timer.Stop() }
}

// look ends the connection where none of its requests has been under way since it was looked last. Where some have,
// and others have not begun for all that time, it ends when the former have: the latter may also
// have been taken back before their heads were read, which is nothing bad.
func (h *halfRequests) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := h.ended.Load() // first: who has begun meanwhile has not ended
	begun := h.begun.Load()
	if begun == ended && begun+ended == h.seen {
		h.end()
		return
	}
	h.seen = begun + ended
	if h.missing > h.late.Load() && !h.retired {
		h.retired = true
		h.retire()
	}
	opened := h.opened.Load()
	h.late.Store(0)
	h.old.Store(opened)
	h.missing = opened - h.begun.Load()
	h.timer.Reset(h.every)
}
