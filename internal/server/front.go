package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/transom-gateway/transom/internal/server/http1"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
)

// A Front speaks HTTP with the clients of one listener. Its methods may be called at
// the same time.
type Front interface {
	// Serve serves the connections that a listener accepts, until the listener or the
	// front is closed, which is no error.
	Serve(l net.Listener) error
	// StopKeepAlives has no connection wait for another request, from now on.
	StopKeepAlives()
	// Shutdown accepts nothing more and waits until the requests under way have been
	// answered. The error is that of ctx, where it ends before.
	Shutdown(ctx context.Context) error
	// Close ends all connections at once, but for those that a WebSocket has taken over.
	Close() error
}

const (
	// maxHeaderBytes is what is read at all. Above transcoder.MaxHeader the gateway
	// answers 431 in the client's own form; net/http's answer is plain text.
	maxHeaderBytes = 4 * transcoder.MaxHeader
	// operatorsHeaderBytes is the same for the operator's requests.
	operatorsHeaderBytes = 64 << 10
	readHeaderTimeout    = 10 * time.Second
	idleTimeout          = 75 * time.Second
	handshakeTimeout     = 10 * time.Second
	// An HTTP/2 client that is silent for pingAfter is asked whether it is there;
	// one that does not answer within pingTimeout, be it gone or not reading, loses
	// its connection and with it the calls that wait to write to it.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second

	defaultMaxStreams = 100
	defaultMaxWaiting = 16 << 20
)

// frontOptions describe a front of clients.
type frontOptions struct {
	handler http.Handler
	// tls is nil for cleartext.
	tls *tls.Config
	// ending is the parent of the requests' contexts.
	ending context.Context
	// log takes what the front has to say, which is mostly about clients.
	log *log.Logger
	// maxStreams bounds what one connection may ask for at a time, and maxWaiting, in
	// bytes, what the answers hold that wait for it.
	maxStreams int
	maxWaiting int64
	// header and idle are how long a request's head may take, and the next request.
	header, idle time.Duration
	// ages ends old connections; nil for none.
	ages *ages
	// resets ends those whose requests are taken back; nil for none.
	resets *resets
}

// newFrontOptions are those of a listener, with the defaults of what it does not say.
func newFrontOptions(c *transomv1.Listener) frontOptions {
	return frontOptions{
		maxStreams: int(cmp.Or(c.GetMaxStreams(), defaultMaxStreams)),
		maxWaiting: int64(cmp.Or(c.GetMaxWaitingBytes(), defaultMaxWaiting)), //nolint:gosec // checked with the configuration
		header:     cmp.Or(c.GetHeaderTimeout().AsDuration(), readHeaderTimeout),
		idle:       cmp.Or(c.GetIdleTimeout().AsDuration(), idleTimeout),
	}
}

// serves sets what serves the requests.
func (o *frontOptions) serves(c *transomv1.Listener, handler http.Handler) {
	o.handler = &countedRequests{handler, o.resets}
	if o.ages = newAges(c, o.handler); o.ages != nil {
		o.handler = o.ages
	}
}

// connectedHTTP1 makes the context of the requests of a connection of HTTP/1.
func (o *frontOptions) connectedHTTP1(ctx context.Context, c net.Conn) context.Context {
	ctx = proxy.WithRoom(ctx, o.maxWaiting)
	if o.ages != nil {
		ctx = o.ages.begin(ctx, c)
	}
	return ctx
}

// connected is the same for a connection that may be of HTTP/2.
func (o *frontOptions) connected(ctx context.Context, c net.Conn) context.Context {
	ctx = o.connectedHTTP1(ctx, c)
	if o.resets != nil && c != nil {
		ctx = o.resets.begin(ctx, c)
	}
	return ctx
}

// netHTTP is the Front of net/http, for HTTP/1.1 and HTTP/2 with and without TLS.
type netHTTP struct{ server *http.Server }

var _ Front = netHTTP{}

func newNetHTTP(o frontOptions) netHTTP {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           o.handler,
		TLSConfig:         o.tls,
		Protocols:         protocols,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: o.header,
		IdleTimeout:       o.idle,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, MaxConcurrentStreams: o.maxStreams},
		ErrorLog:          o.log,
		BaseContext:       func(net.Listener) context.Context { return o.ending },
		ConnContext:       o.connected,
		// OPTIONS * is answered as every other request.
		DisableGeneralOptionsHandler: true,
	}
	if o.ages != nil {
		server.ConnState = o.ages.change
	}
	return netHTTP{server}
}

var _ Front = (*http1.Server)(nil)

// newHTTP1 is the front of clients for HTTP/1.1 and HTTP/2: requests without a body are served by package http1, and
// what it leaves by net/http.
func newHTTP1(o frontOptions) Front {
	front := &http1.Server{
		Handler: o.handler, Rest: newNetHTTP(o).server, Header: o.header, Idle: o.idle, Base: o.ending, Connected: o.connectedHTTP1, Log: o.log,
	}
	if o.ages != nil {
		front.Ended = func(c net.Conn) { o.ages.change(c, http.StateClosed) }
	}
	return front
}

// newOperatorsFront is a front for the operator, who is trusted with more.
func newOperatorsFront(handler http.Handler, log *log.Logger) netHTTP {
	return netHTTP{&http.Server{
		Handler:           bodyInTime(handler),
		MaxHeaderBytes:    operatorsHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          log,
	}}
}

// bodyInTime bounds the wait for a request's body. No page takes one, and net/http waits
// for the rest of it behind the answer.
func bodyInTime(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readHeaderTimeout)) // the connection has deadlines
		}
		next.ServeHTTP(w, r)
	}
}

// Serve implements Front.
func (f netHTTP) Serve(l net.Listener) error {
	if err := f.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return ignoreClosed(err)
	}
	return nil
}

// StopKeepAlives implements Front.
func (f netHTTP) StopKeepAlives() { f.server.SetKeepAlivesEnabled(false) }

// Shutdown implements Front. A listener may have been closed before.
func (f netHTTP) Shutdown(ctx context.Context) error { return ignoreClosed(f.server.Shutdown(ctx)) }

// Close implements Front. A listener may have been closed before.
func (f netHTTP) Close() error { return ignoreClosed(f.server.Close()) }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// httpLog takes what fronts have to say, which is mostly about clients.
func httpLog(l *slog.Logger) *log.Logger {
	return slog.NewLogLogger(l.Handler(), slog.LevelDebug)
}
