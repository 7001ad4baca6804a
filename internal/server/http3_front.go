package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/server/dateheader"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// lastPackets is the time for clients to get what was sent last, and to close their
// connections, before the socket is closed.
const lastPackets = time.Second

// http3Front is the Front of HTTP/3.
type http3Front struct {
	quicListener *quicListener
	o            frontOptions
	connections  *connections
	grace        time.Duration // of connections that are too old; 0 for none
	age          time.Duration // 0 for any age

	date     dateheader.Date
	handling atomic.Int64 // requests
	running  sync.WaitGroup

	mu      sync.Mutex
	ended   bool
	servers map[*http3.Server]*quic.Conn
}

var _ Front = (*http3Front)(nil)

func newHTTP3(l *quicListener, c *transomv1.Listener, o frontOptions, counted *connections) *http3Front {
	return &http3Front{
		quicListener: l, o: o, connections: counted, servers: map[*http3.Server]*quic.Conn{},
		age: c.GetMaxConnectionAge().AsDuration(), grace: c.GetMaxConnectionAgeGrace().AsDuration(),
	}
}

// Serve implements Front, for the listener of the front alone.
func (f *http3Front) Serve(net.Listener) error {
	listener, err := f.quicListener.await()
	if listener == nil {
		return err
	}
	for {
		c, err := listener.Accept(context.Background())
		if errors.Is(err, quic.ErrServerClosed) || errors.Is(err, quic.ErrTransportClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		accepted(c)
		f.receive(c)
	}
}

// take serves a connection, unless its client has too many.
func (f *http3Front) take(c *quic.Conn) {
	leave, ok := f.connections.enterPacket(c.RemoteAddr())
	if !ok {
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many connections") // it may be gone already
		return
	}
	// A server of its own for each connection, so that one that is too old can be ended by
	// GOAWAY alone. Without a Logger it tells slog.Default of panics, and nobody of what clients do wrong.
	server := &http3.Server{
		MaxHeaderBytes: maxHeaderBytes,
		IdleTimeout:    f.o.idle,
		ConnContext:    f.begin,
	}
	requests := f.requestsOf(c, server)
	server.Handler = requests
	if !f.enter(server, c) {
		leave()
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // as above
		return
	}
	f.running.Go(func() {
		defer leave()
		defer f.forget(server)
		defer f.grow(server, c)()
		defer requests.watch()()
		_ = server.ServeQUICConn(c) // what a client did wrong is its own concern
	})
}

// begin makes the context of a connection's requests, which ends with the connection, and with the gateway's calls.
func (f *http3Front) begin(ctx context.Context, c *quic.Conn) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(f.o.ending, cancel)
	context.AfterFunc(ctx, func() { forget() })
	return f.o.resets.beginPackets(f.o.connected(ctx, nil), c)
}

// requestsOf is what sees to it that the requests of a connection come.
func (f *http3Front) requestsOf(c *quic.Conn, s *http3.Server) *halfRequests {
	return &halfRequests{
		next: f.handlerOf(c), every: f.o.idle + f.o.header,
		retire: func() {
			go func() { _ = s.Shutdown(c.Context()) }() // it ends with the connection
		},
		end: func() {
			_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeRequestIncomplete), "no request came in time") // it may have ended by then
		},
	}
}

// handlerOf is what serves the requests of a connection.
func (f *http3Front) handlerOf(c *quic.Conn) http.Handler {
	if f.quicListener.config.Allow0RTT {
		return earlyRequests{f, c}
	}
	return f
}

// enter notes a connection, and reports whether the front still serves.
func (f *http3Front) enter(s *http3.Server, c *quic.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	f.servers[s] = c
	return true
}

func (f *http3Front) forget(s *http3.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.servers, s)
}

// grow has a connection end by its age, if connections do. It returns what ends that.
func (f *http3Front) grow(s *http3.Server, c *quic.Conn) (stop func()) {
	if f.age == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(ageOf(f.age), func() {
		if f.grace > 0 {
			limited, end := context.WithTimeout(ctx, f.grace)
			defer end()
			if s.Shutdown(limited) != nil {
				_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // it may have ended by then
			}
			return
		}
		_ = s.Shutdown(ctx) // ctx ends with the connection
	})
	return func() {
		timer.Stop()
		cancel()
	}
}

// ServeHTTP implements http.Handler: HTTP/3 is brought into the form that net/http has for
// HTTP/2.
func (f *http3Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.handling.Add(1)
	defer f.handling.Add(-1)
	if r.Method == http.MethodConnect && r.ProtoMajor == 3 && r.Proto != "HTTP/3.0" {
		r.Header[":protocol"], r.Proto = []string{r.Proto}, "HTTP/3.0"
	}
	answer := &http3Writer{ResponseWriter: w, date: &f.date}
	if r.Method != http.MethodHead && r.Method != http.MethodConnect {
		answer.stream, _ = w.(http3.HTTPStreamer)
	}
	if f.settleBody(answer, r) {
		f.o.handler.ServeHTTP(answer, r)
	}
	answer.finish()
}

// StopKeepAlives implements Front. The connections that are there are told by Shutdown.
func (f *http3Front) StopKeepAlives() {}

// Shutdown implements Front: connections get GOAWAY, and end when their requests have.
func (f *http3Front) Shutdown(ctx context.Context) error {
	_ = f.quicListener.Close() // it may have been before
	if released := f.quicListener.released; released != nil {
		select { // the next process counts on it that nobody reads the socket
		case <-released:
		case <-ctx.Done():
		}
	}
	closing, cancel := context.WithCancel(ctx)
	defer cancel()
	var told sync.WaitGroup
	for _, s := range f.end() {
		told.Go(func() { _ = s.Shutdown(closing) }) // the error is that of the context
	}
	ended := make(chan struct{})
	go func() {
		told.Wait()
		close(ended)
	}()
	err := f.idle(ctx, ended)
	if err == nil {
		select { // a client that goes on where it should close its connection is not waited for
		case <-ended:
		case <-time.After(lastPackets):
		case <-ctx.Done():
		}
	}
	cancel()
	return errors.Join(err, f.Close())
}

// idle waits until no request is under way.
func (f *http3Front) idle(ctx context.Context, ended <-chan struct{}) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for f.handling.Load() > 0 {
		select {
		case <-look.C:
		case <-ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// end has no connection come any more, and returns the servers of those that are there.
func (f *http3Front) end() []*http3.Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	all := make([]*http3.Server, 0, len(f.servers))
	for s := range f.servers {
		all = append(all, s)
	}
	return all
}

// Close implements Front.
func (f *http3Front) Close() error {
	f.end()
	f.mu.Lock()
	for _, c := range f.servers {
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // it may have ended by then
	}
	f.mu.Unlock()
	err := f.quicListener.end()
	f.running.Wait()
	return err
}
