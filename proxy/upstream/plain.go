package upstream

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/proxy/breaker"
)

// Server is where a plain HTTP request goes.
type Server struct {
	// Network and Address are to be dialed: "tcp" and "host:port", or "unix" and a path.
	Network, Address string
	// Authority is what the server calls itself: its Host, and the name of its certificate
	// where TLS has no ServerName.
	Authority string
}

// ErrNoServer is wrapped by errors of Begin where no server can take requests.
var ErrNoServer = errors.New("no server can take requests")

// errManyWait is the error of a request that finds no room, nor room to wait for it.
var errManyWait = status.Errorf(codes.Unavailable, "the servers take no more requests at once, and %d wait for them already", maxWaiting)

// Begin picks a server for a plain HTTP request, which is under way until End. Where all
// have as many as they may, it waits until ctx ends (Traffic 153). Its error is a gRPC
// status error. t is the same for all attempts of a request. It takes no lock and no
// memory where a server has room.
func (c *Conn) Begin(ctx context.Context, t *Turn) (Server, error) {
	t.dropTrial()
	t.last = nil
	var e *Endpoint
	if c.line.waiting.Load() == 0 {
		e = c.enter(t)
	}
	if e == nil {
		var err error
		e, err = c.enterLater(ctx, t)
		c.line.end(&t.line, err == nil)
		if err != nil {
			return Server{}, err
		}
	}
	t.began = breaker.Now()
	return e.server, nil
}

// End says that the request that Begin began is not under way any more. Once it was said,
// it is nothing to say it again.
func (c *Conn) End(t *Turn) {
	if e := t.in; e != nil {
		t.in = nil
		c.leave(e)
	}
}

// enter picks a server that takes one request more; nil where there is none.
func (c *Conn) enter(t *Turn) *Endpoint {
	for {
		now := c.choice.Load()
		e := now.trial(t)
		if e == nil {
			e = now.pick(t.place, t.tried)
		}
		switch {
		case e == nil:
			return nil
		case e.enter():
			if c.target.LoadBalancing == byHash {
				c.load.Add(1)
			}
			t.enters(e)
			return e
		}
		t.dropTrial() // others were faster
		if len(now.endpoints) < 2 {
			return nil
		}
	}
}

// enters notes that the attempt is under way at an endpoint.
func (t *Turn) enters(e *Endpoint) {
	t.goes(e)
	t.in = e
}

// enter takes a place for one request more, if there is one.
func (e *Endpoint) enter() bool {
	if e.most == 0 {
		e.active.Add(1)
		return true
	}
	for {
		n := e.active.Load()
		if n >= e.most {
			return false
		}
		if e.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave gives the place of a request to the first one in line, or back.
func (c *Conn) leave(e *Endpoint) {
	if c.line.waiting.Load() > 0 && c.uses(e) && c.line.hand(e) {
		return
	}
	e.active.Add(-1)
	if c.target.LoadBalancing == byHash {
		c.load.Add(-1)
	}
	if c.line.waiting.Load() > 0 {
		c.line.next() // it may have joined in between
	}
}

// uses reports whether requests are spread over an endpoint.
func (c *Conn) uses(e *Endpoint) bool {
	for _, used := range c.choice.Load().endpoints {
		if used == e {
			return true
		}
	}
	return false
}

// enterLater waits until there is a server that takes one request more.
func (c *Conn) enterLater(ctx context.Context, t *Turn) (*Endpoint, error) {
	for {
		c.mu.Lock()
		why, changed, reached := c.why(), c.changed, c.reached()
		c.mu.Unlock()
		switch {
		case reached:
			if e, err := c.queue(ctx, t); e != nil || err != nil {
				return e, err
			}
			continue
		case why != nil:
			return nil, unavailable{why}
		}
		// Its name is being resolved, or its health asked for.
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// queue waits in line for a place at a server. It returns nil where the request is to look
// anew, as the servers are others than they were.
func (c *Conn) queue(ctx context.Context, t *Turn) (*Endpoint, error) {
	w, err := c.line.join(&t.line, c.log.With("target", c.target.Name()))
	if err != nil {
		return nil, errManyWait
	}
	if c.mayHaveRoom() {
		c.line.next() // there is since before we joined, maybe for another one in line
	}
	select {
	case <-w.called:
	case <-ctx.Done():
		if !c.line.leave(w) { // it was called at the last moment
			if w.at != nil {
				c.leave(w.at)
			} else {
				c.line.next()
			}
		}
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if w.at == nil {
		return c.enter(t), nil
	}
	t.enters(w.at)
	return w.at, nil
}

// mayHaveRoom reports whether a server takes one request more, or there is none, which is
// to be found out, too.
func (c *Conn) mayHaveRoom() bool {
	endpoints := c.choice.Load().endpoints
	for _, e := range endpoints {
		if !e.Full() {
			return true
		}
	}
	return len(endpoints) == 0
}

// unavailable is the error where there is no server. It tells clients no addresses.
type unavailable struct{ why error }

// retrySoon is when a client may come again where there is no server.
const retrySoon = time.Second

// Unwrap gives the reason.
func (e unavailable) Unwrap() []error { return []error{ErrNoServer, e.why} }

// Error says no more than clients may know.
func (e unavailable) Error() string { return Reason(e.why) }

// GRPCStatus is UNAVAILABLE, with the advice to come again.
func (e unavailable) GRPCStatus() *status.Status {
	s := status.New(codes.Unavailable, Reason(e.why))
	if advised, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retrySoon)}); err == nil {
		return advised
	}
	return s
}

// becomePlain makes an endpoint one of plain HTTP.
func (c *Conn) becomePlain(e *Endpoint) {
	e.plain, e.most = true, int64(c.target.MaxConnections)
	e.server = Server{Network: c.network, Address: e.at, Authority: c.authority}
	if !c.named {
		e.server.Authority = e.at
	}
	e.server.Authority = c.target.withoutPort(e.server.Authority)
}

// usualPort is the one that a URL of a plain HTTP server means without one.
func (t Target) usualPort() string {
	if t.TLS != nil {
		return "443"
	}
	return "80"
}

// withoutPort leaves out the port that a URL would not name either.
func (t Target) withoutPort(authority string) string {
	usual := t.usualPort()
	_, port, err := net.SplitHostPort(authority)
	if err != nil || port != usual || authority[0] == '[' {
		return authority
	}
	return strings.TrimSuffix(authority, ":"+usual)
}
