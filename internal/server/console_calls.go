package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/try"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

var _ admin.Tried = administered{}

// consoleCalls is where the calls of the console come in: connections in memory to what a
// listener serves, by the front that serves its clients, with the same bounds (Surface 241).
type consoleCalls struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

var _ net.Listener = (*consoleCalls)(nil)

// consoleConn is a connection of the console. The gateway takes it for one from the operator's
// own address.
type consoleConn struct {
	net.Conn
	from net.Addr
	who  string
}

// RemoteAddr implements net.Conn.
func (c *consoleConn) RemoteAddr() net.Addr { return c.from }

// Accept implements net.Listener.
func (l *consoleCalls) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; the connections stay.
func (l *consoleCalls) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *consoleCalls) Addr() net.Addr { return &net.UnixAddr{Name: "console", Net: "unix"} }

// dial connects somebody at an address.
func (l *consoleCalls) dial(ctx context.Context, who string, from net.Addr) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.connections <- &consoleConn{server, from, who}:
		return client, nil
	case <-l.closed:
		return nil, errors.New("the gateway is shutting down")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// operatorKey is that of who makes a call, in the context of its connection.
type operatorKey struct{}

// openConsoleCalls serves the calls of the console as a listener serves its clients': the first
// one that lets those in who have no certificate. Without one there are no calls.
func (o *Options) openConsoleCalls(s *Server) {
	c := s.openListener()
	if c == nil {
		return
	}
	front := newFrontOptions(c)
	front.ending, front.log = o.Gateway.Context(), httpLog(o.Telemetry.Log)
	front.handler = closing{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := r.Context().Value(operatorKey{}).(string) // every connection has one
		o.Gateway.ServeOperator(w, r, who)
	}), &s.draining}
	served := newNetHTTP(front)
	connected := served.server.ConnContext
	served.server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		ctx = connected(ctx, c)
		if c, ok := c.(*consoleConn); ok {
			ctx = context.WithValue(ctx, operatorKey{}, c.who)
		}
		return ctx
	}
	s.calls = &consoleCalls{connections: make(chan net.Conn), closed: make(chan struct{})}
	s.callsFront = served
}

// openListener is the first listener whose clients need no certificate, and that does not send
// them to another one; nil for none.
func (s *Server) openListener() *transomv1.Listener {
	for _, c := range s.file.Config.GetListeners() {
		demands := c.GetTls().GetClientCa() != "" && c.GetTls().GetClientAuth() != transomv1.ServerTls_OPTIONAL
		if !demands && !c.GetHttpsRedirect() {
			return c
		}
	}
	return nil
}

// publicAddress is where clients reach what the console calls.
type publicAddress struct {
	// Available reports whether calls can be made, and Why says why they cannot.
	Available bool   `json:"available"`
	Why       string `json:"why,omitempty"`
	Scheme    string `json:"scheme,omitempty"`
	// Host is "" where it is every address of the machine.
	Host string `json:"host,omitempty"`
	Port string `json:"port,omitempty"`
}

const noCalls = "every listener asks clients for a certificate, which the console has not, or sends them to https: call the gateway with a program that has one"

// Public implements admin.Tried.
func (a administered) Public() any {
	c := a.server.openListener()
	if c == nil || a.server.calls == nil {
		return publicAddress{Why: noCalls}
	}
	at := publicAddress{Available: true, Scheme: "http"}
	if c.GetTls() != nil {
		at.Scheme = "https"
	}
	for i, l := range a.server.listeners {
		if a.server.file.Config.GetListeners()[i] == c {
			at.Host, at.Port, _ = net.SplitHostPort(l.Addr().String()) // a socket has neither
		}
	}
	if ip := net.ParseIP(at.Host); ip != nil && ip.IsUnspecified() {
		at.Host = ""
	}
	return at
}

// Fields implements admin.Tried.
func (a administered) Fields(symbol string) (any, error) {
	fields, err := a.server.gateway.Fields(symbol)
	if err != nil {
		return nil, err
	}
	return map[string]any{"messages": fields}, nil
}

// Try implements admin.Tried.
func (a administered) Try(who, from string, asked try.Asked) (call *try.Trial, what string, err error) {
	s := a.server
	if s.calls == nil {
		return nil, "", errors.New(noCalls)
	}
	at, err := net.ResolveTCPAddr("tcp", from)
	if err != nil {
		at = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} // of a socket, which is on this machine
	}
	call, err = try.New(asked, try.Options{
		Dial:    func(ctx context.Context) (net.Conn, error) { return s.calls.dial(ctx, who, at) },
		Host:    s.publicHost(),
		Details: s.gateway.Details,
	})
	if err != nil {
		return nil, "", err
	}
	return call, asked.Protocol + " " + s.routeOf(asked), nil
}

// publicHost is the Host of requests that say none.
func (s *Server) publicHost() string {
	at, _ := administered{s}.Public().(publicAddress) // it is one
	if at.Port == "" {
		return "localhost"
	}
	if at.Host == "" {
		at.Host = "localhost"
	}
	return net.JoinHostPort(at.Host, at.Port)
}

// routeOf is the route of a call for the audit log, by its template: values of paths may be
// what no log may repeat.
func (s *Server) routeOf(asked try.Asked) string {
	method := asked.Method
	switch asked.Protocol {
	case try.WebSocket:
		method = "websocket"
	case try.Connect, try.GRPCWeb:
		method = http.MethodPost
	}
	question := gateway.Asked{Method: method, URL: asked.URL}
	for _, h := range asked.Headers { // plain HTTP routes are found by headers, too
		if name, _, ok := strings.Cut(h, ":"); ok && name != "" {
			question.Headers = append(question.Headers, h)
		}
	}
	request, err := question.Request(context.Background())
	if err != nil {
		return "no route"
	}
	if rule := s.gateway.Taken(request); rule != "" {
		return rule
	}
	return "no route"
}
