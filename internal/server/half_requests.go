package server

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// halfRequests ends a connection of HTTP/3 whose client begins requests and does not end their heads: quic-go waits for
// those without a bound, and takes the connection for one that is in use, of which idle_timeout is not the end.
type halfRequests struct {
	next http.Handler
	// begun and ended count the requests whose heads have come.
	begun, ended atomic.Int64
	// every is longer than a connection may be without a request and the next head may take.
	every time.Duration
	end   func()

	mu    sync.Mutex
	timer *time.Timer
	seen  int64 // begun and ended when it was looked last
}

// ServeHTTP implements http.Handler.
func (h *halfRequests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.begun.Add(1)
	defer h.ended.Add(1)
	h.next.ServeHTTP(w, r)
}

// watch looks at the connection until stop.
func (h *halfRequests) watch() (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(h.every, h.look)
	return func() { h.timer.Stop() }
}

// look ends the connection where none of its requests has been under way since it was looked last.
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
	h.timer.Reset(h.every)
}
