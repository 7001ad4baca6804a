package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/server/dateheader"
)

// Server is a server of HTTP/1.1 before another one. All fields are needed but those that
// may be nil, and none must be changed once it serves.
type Server struct {
	Handler http.Handler
	// Rest serves what is handed over. It is started, shut down and closed with this one.
	Rest *http.Server
	// Header is how long a request's head may take, and Idle how long a connection may
	// be without a request.
	Header, Idle time.Duration
	// Base is the parent of all contexts.
	Base context.Context
	// Connected makes the context of a connection's requests. It may be nil.
	Connected func(context.Context, net.Conn) context.Context
	// Ended is told of connections that have ended or were handed over. It may be nil.
	Ended func(net.Conn)
	// Log takes what handlers panic with.
	Log *log.Logger

	handed     handed
	start      sync.Once
	noKeeping  atomic.Bool
	isShutDown atomic.Bool
	date       dateheader.Date

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
}

// acceptPause is how long to wait where no connection can be accepted.
const acceptPause = 50 * time.Millisecond

// Serve serves the connections that a listener accepts, until that or the server is closed, which is no error.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		_ = l.Close() // the server is closed already
		return nil
	}
	defer s.forget(l)
	s.start.Do(func() {
		s.handed.at = l.Addr()
		go func() { _ = s.Rest.Serve(&s.handed) }() // it ends with the server
	})
	for {
		c, err := l.Accept()
		if err == nil {
			s.serve(c)
			continue
		}
		var temporary interface{ Temporary() bool }
		switch {
		case s.isShutDown.Load() || errors.Is(err, net.ErrClosed):
			return nil
		case errors.As(err, &temporary) && temporary.Temporary(): // as with too many open files
			time.Sleep(acceptPause)
		default:
			return err
		}
	}
}

// serve serves a connection, or has it served where that speaks HTTP/2.
func (s *Server) serve(c net.Conn) {
	if _, other := c.(*tls.Conn); other {
		s.handed.take(c)
		return
	}
	served := &conn{of: s, Conn: c}
	served.room.L = &served.mu
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isShutDown.Load() {
		_ = c.Close() // it came too late
		return
	}
	s.conns[served] = struct{}{}
	served.since.Store(-time.Now().Unix())
	go served.serve()
}

// track notes a listener, and reports whether the server is still open.
func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isShutDown.Load() {
		return false
	}
	if s.listeners == nil {
		s.listeners, s.conns = map[net.Listener]struct{}{}, map[*conn]struct{}{}
		s.handed.conns, s.handed.closed = make(chan net.Conn), make(chan struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) forget(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// leave notes that a connection has ended, or is another's.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	if s.Ended != nil {
		s.Ended(c.Conn)
	}
}

// keeps reports whether connections wait for another request.
func (s *Server) keeps() bool { return !s.noKeeping.Load() && !s.isShutDown.Load() }

// StopKeepAlives has no connection wait for another request, from now on.
func (s *Server) StopKeepAlives() {
	s.noKeeping.Store(true)
	s.closeIdle()
	s.Rest.SetKeepAlivesEnabled(false)
}

// Bounds of how often Shutdown looks whether the last request has been answered.
const (
	firstLook = time.Millisecond
	lastLook  = 500 * time.Millisecond
)

// Shutdown accepts nothing more and waits until the requests under way have been answered.
// The error is that of ctx, where it ends before.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.closeListeners()
	s.Rest.SetKeepAlivesEnabled(false) // what it has is to end, too
	look := firstLook
	timer := time.NewTimer(look)
	defer timer.Stop()
	for !s.closeIdle() {
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-timer.C:
			look = min(2*look, lastLook)
			timer.Reset(look)
		}
	}
	return errors.Join(err, s.Rest.Shutdown(ctx))
}

// Close ends all connections at once.
func (s *Server) Close() error {
	err := s.closeListeners()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close() // it may be closed already
	}
	s.mu.Unlock()
	return errors.Join(err, s.Rest.Close())
}

func (s *Server) closeListeners() (err error) {
	s.isShutDown.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		if e := l.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// patience is how long a new connection is waited for whose first request has not come.
const patience = 5 * time.Second

// closeIdle closes the connections that wait for a request, and reports whether there are no others.
func (s *Server) closeIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.isIdle() {
			_ = c.Close() // it may be closed already
			delete(s.conns, c)
		}
	}
	return len(s.conns) == 0
}

// recovered logs what a handler has panicked with.
func (s *Server) recovered(c *conn, with any) {
	if with == http.ErrAbortHandler {
		return
	}
	stack := make([]byte, 64<<10)
	s.Log.Printf("http: panic serving %s: %v\n%s", c.remote, with, stack[:runtime.Stack(stack, false)])
}

// handed is the listener that has the rest of the connections.
type handed struct {
	at     net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// take hands a connection over, and closes it where nobody wants it any more.
func (h *handed) take(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		_ = c.Close() // there is nobody to tell
	}
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handed) Addr() net.Addr { return h.at }
