// Package gateway assembles the parts: it builds an immutable Snapshot of
// everything that comes from files, swaps it in, and serves requests by it. It
// knows neither the command line nor how files are watched.
//
//	g := gateway.New(gateway.Options{Load: load, Telemetry: telemetry})
//	change, err := g.Reload(ctx)       // at the start, and whenever inputs change
//	http.Serve(listener, g)
//
// A request goes through ServeHTTP: find the route, ask the policies, open the
// client's edge, relay, answer.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
)

// Options are what a Gateway needs.
type Options struct {
	// Load reads the configuration anew; it is called at each reload.
	Load func() (*config.File, error)
	// Telemetry is where the gateway reports; never nil.
	Telemetry *observe.Telemetry
	// Offline builds without fetching anything, for commands that only look.
	Offline bool
	// Unguarded holds no call to a policy. It is for somebody who reaches the
	// backends anyway, and never for a gateway that serves others.
	Unguarded bool
	// Version is the program's, for what it says of itself.
	Version string
}

// Gateway is an http.Handler that serves the latest good Snapshot.
type Gateway struct {
	options Options
	state   *policy.State
	pool    *proxy.Pool
	sources *sources
	own     *services

	current atomic.Pointer[Snapshot]
	// draining ends the streams of a gateway that shuts down.
	draining context.Context
	drain    context.CancelFunc

	// inFlight counts the requests, for the end.
	inFlight atomic.Int64

	reload struct {
		sync.Mutex
		generation int
	}
	last atomic.Pointer[ReloadStatus]
}

var _ http.Handler = (*Gateway)(nil)

// New makes a gateway that serves nothing until its first Reload.
func New(o Options) *Gateway {
	g := &Gateway{
		options: o,
		state:   policy.NewState(policy.StateOptions{Log: o.Telemetry.Log, Offline: o.Offline}),
		pool:    proxy.NewPool(o.Telemetry.Log),
		sources: newSources(),
	}
	g.draining, g.drain = context.WithCancel(context.Background())
	g.own = g.newServices()
	o.Telemetry.Metrics.SetUpstreams(func(yield func(name, state string) bool) {
		for _, u := range g.Upstreams() {
			if !yield(u.Name, u.State) {
				return
			}
		}
	})
	return g
}

// Drain ends the streams in flight with UNAVAILABLE; unary calls go on.
func (g *Gateway) Drain() {
	g.own.health.Shutdown()
	g.drain()
}

// Wait returns when no request is in flight, hijacked connections included.
func (g *Gateway) Wait(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for g.inFlight.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d calls were still in flight: %w", g.inFlight.Load(), context.Cause(ctx))
		}
	}
	return nil
}

// Close gives back what the gateway holds. No request may be in flight.
func (g *Gateway) Close() {
	g.drain()
	if s := g.current.Swap(nil); s != nil {
		s.release()
	}
	g.own.server.Stop()
	g.sources.close()
	if err := g.state.Close(); err != nil {
		g.options.Telemetry.Log.Warn("closing the policies' state", "error", err)
	}
}

// call is the memory of one request; it is kept for the next one.
type call struct {
	match   match
	request policy.Request
	relay   proxy.Call
	outcome policy.Outcome
	set     *policy.Set
	// The functions below are made once, not per call.
	beforeHeader func(http.Header)
	onRequest    func(context.Context, *proxy.Frame) error
	onReply      func(context.Context, *proxy.Frame) error
}

var calls = sync.Pool{New: func() any {
	c := new(call)
	c.beforeHeader = func(h http.Header) { c.set.ResponseHeader(&c.request, h) }
	c.onRequest = c.checkMessage
	c.onReply = c.changeReply
	return c
}}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	snapshot := g.acquire()
	if snapshot == nil {
		http.Error(w, "the gateway has no configuration yet", http.StatusServiceUnavailable)
		return
	}
	defer snapshot.release()
	c, ok := calls.Get().(*call)
	if !ok {
		return // the pool holds nothing else
	}
	defer c.recycle()
	route, err := snapshot.find(r, &c.match)
	if route == nil {
		if snapshot.servesItself(r, c.match.protocol) {
			g.own.server.ServeHTTP(w, r)
			return
		}
		g.unmatched(snapshot, w, r, c, err)
		return
	}
	g.serve(snapshot, route, w, r, c, err)
}

// serve carries one request on a route through. err is what finding the route
// found wrong with the request already.
func (g *Gateway) serve(s *Snapshot, route *Route, w http.ResponseWriter, r *http.Request, c *call, err error) {
	m := route.method
	c.set = m.set
	c.prepare(s, route, w, r)
	x := transcoder.Exchange{W: w, R: r, Values: c.match.path.Values, AllowOrigin: m.allowOrigin}
	if m.changesHeader {
		x.BeforeHeader = c.beforeHeader
	}
	client := route.Binding.Downstream(x, c.match.protocol)

	ctx, admitted := r.Context(), false
	if err == nil {
		err = s.requestMetadata(&c.request, c.match.protocol)
	}
	var deadline time.Time
	var badTimeout error
	if err == nil {
		// What a call waits for its admission is part of its time.
		deadline, badTimeout = m.deadline(r.Header)
		if !deadline.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline)
			defer cancel()
		}
		if ctx, err = m.set.Admit(ctx, &c.request); err != nil {
			err = lateRefusal(ctx, err)
		}
		admitted = err == nil
	}
	var result proxy.Result
	if admitted {
		if err = badTimeout; err == nil {
			var cancel context.CancelFunc
			ctx, cancel = g.bound(ctx, m, deadline, c.match.protocol)
			defer cancel()
			ctx, err = client.Open(ctx)
		}
	}
	if err == nil {
		c.fillRelay(m, client)
		result = proxy.Relay(ctx, &c.relay)
		err = g.ended(ctx, result.Err)
	}
	httpStatus := client.Finish(err, result.Trailer)
	if err != nil && !m.Shape.ClientStreams {
		readRest(w, r)
	}
	c.outcome = outcome(err, httpStatus, &result)
	m.set.Done(&c.request, &c.outcome)
	if httpStatus == proxy.Aborted {
		panic(http.ErrAbortHandler) // the client must not take what it has for the whole
	}
}

// fillRelay describes the call for the relay.
func (c *call) fillRelay(m *Method, client proxy.Downstream) {
	c.relay = proxy.Call{
		Downstream:  client,
		Backend:     m.backend,
		Method:      m.Path,
		Shape:       m.Shape,
		Header:      c.request.Metadata,
		IdleTimeout: m.idleTimeout,
	}
	if m.set.ReadsMessages() {
		c.relay.OnRequest = c.onRequest
	}
	if m.set.ReadsReply() {
		c.relay.OnReply = c.onReply
	}
}

// recycle gives the call's memory back, without what belonged to the request.
func (c *call) recycle() {
	metadata := c.request.Metadata
	clear(metadata)
	c.request.Reset()
	c.request.Metadata = metadata[:0]
	c.relay = proxy.Call{}
	c.outcome = policy.Outcome{}
	c.set = nil
	c.match.reset()
	calls.Put(c)
}

func (c *call) checkMessage(ctx context.Context, f *proxy.Frame) error {
	if err := c.set.Message(ctx, &c.request, f.Bytes()); err != nil {
		return refusedMessage{err}
	}
	return nil
}

func (c *call) changeReply(ctx context.Context, f *proxy.Frame) error {
	before := f.Bytes()
	after, err := c.set.Reply(ctx, &c.request, before)
	if err != nil {
		return err
	}
	if len(after) != len(before) || len(after) > 0 && &after[0] != &before[0] {
		f.Free()
		*f = proxy.WrapFrame(after)
	}
	return nil
}

// deadline is when the call must have ended: the shorter of the client's time
// and the policy's. Zero is never. The error is of the client's header.
func (m *Method) deadline(h http.Header) (time.Time, error) {
	timeout, limited, err := transcoder.ClientTimeout(h)
	if err != nil {
		return time.Time{}, err
	}
	if m.timeout > 0 && (!limited || m.timeout < timeout) {
		timeout, limited = m.timeout, true
	}
	if !limited {
		return time.Time{}, nil
	}
	return time.Now().Add(timeout), nil
}

// lateRefusal is the refusal of a call whose time ran out while a policy asked a
// store: that the store could not answer says nothing about it.
func lateRefusal(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && status.Code(err) == codes.Unavailable {
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

// bound makes the context of an admitted call; that of its admission has the
// deadline already.
func (g *Gateway) bound(ctx context.Context, m *Method, deadline time.Time, p transcoder.Protocol) (context.Context, context.CancelFunc) {
	if p == transcoder.WebSocket { // also of a unary method: it may wait for its message
		// The edge says when the client is gone. Who closes the socket may reset the
		// stream at once; the call ends in its own time all the same.
		return g.boundStream(context.WithoutCancel(ctx), deadline)
	}
	if !m.Shape.Unary() {
		return g.boundStream(ctx, time.Time{})
	}
	return ctx, func() {}
}

// boundStream also ends a stream when the gateway shuts down.
func (g *Gateway) boundStream(parent context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(g.draining, func() { cancel(errDraining) })
	release := func() {
		stop()
		cancel(nil)
	}
	if deadline.IsZero() {
		return ctx, release
	}
	ctx, cancelDeadline := context.WithDeadline(ctx, deadline)
	return ctx, func() {
		cancelDeadline()
		release()
	}
}
