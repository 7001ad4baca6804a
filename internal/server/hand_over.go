package server

import (
	"context"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// Export copies the sockets for the next process, which knows them by the names. The caller
// closes the files.
func (s *Server) Export() (names []string, files []*os.File, err error) { return s.sockets.Export() }

// HandedOver says that another process serves on the sockets from now on: Shutdown leaves them
// to it. released is called when the UDP sockets are not read any more.
func (s *Server) HandedOver(released func()) {
	s.sockets.HandedOver()
	s.released.Store(&released)
	s.handed.Store(true)
}

// release tells the next process that the UDP sockets are its own.
func (s *Server) release() {
	if released := s.released.Load(); released != nil {
		(*released)()
	}
}

// awaitClients waits after a hand-over until the clients have left by themselves, each with its
// next answer. Where they do not, half of the time is for their calls.
func (s *Server) awaitClients(ctx context.Context) {
	due, ok := ctx.Deadline()
	if !s.handed.Load() || !ok {
		return
	}
	late := time.NewTimer(time.Until(due) / 2)
	defer late.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for s.open() > 0 {
		select {
		case <-look.C:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// lookEvery is how often is looked whether the clients have left.
const lookEvery = 50 * time.Millisecond

// open is how many connections clients have.
func (s *Server) open() (n int64) {
	for _, l := range s.listeners {
		n += l.connections.open.Load()
	}
	return n
}

// closing has answers end their connections while the gateway drains: HTTP/1 by Connection:
// close, HTTP/2 by GOAWAY. Connections that wait for a request are not closed, as one may be on
// its way.
type closing struct {
	next     http.Handler
	draining *atomic.Bool
}

// ServeHTTP implements http.Handler.
func (c closing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.draining.Load() && r.Header["Upgrade"] == nil {
		w.Header()["Connection"] = []string{"close"} // net/http makes a GOAWAY of it on HTTP/2
	}
	c.next.ServeHTTP(w, r)
}
