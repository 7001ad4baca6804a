package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	snapshot := g.acquire()
	if snapshot == nil {
		g.answerWithout(w, r, http.StatusServiceUnavailable, "the gateway has no configuration yet")
		return
	}
	defer snapshot.release()
	c, ok := calls.Get().(*call)
	if !ok {
		return // the pool holds nothing else
	}
	defer c.recycle()
	w = c.size.begin(w, r)
	route, err := snapshot.find(r, &c.match)
	if route == nil {
		g.unmatched(snapshot, w, r, c, err)
		return
	}
	g.serve(snapshot, route, w, r, c, err)
}

// serve carries one request on a route through. err is what finding the route
// found wrong with the request already.
func (g *Gateway) serve(s *Snapshot, route *Route, w http.ResponseWriter, r *http.Request, c *call, err error) {
	m := route.method
	if !m.Shape.Unary() {
		g.streams.Add(1)
		defer g.streams.Add(-1)
	}
	c.set = m.set
	c.prepare(s, route, w, r)
	x := exchange.Exchange{W: w, R: r, Values: c.match.path.Values, Readings: &g.readings}
	if m.changesHeader {
		x.BeforeHeader = c.beforeHeader
	}
	client := c.match.protocol.Open(route.Binding, x)

	ctx, admitted := r.Context(), false
	var deadline time.Time
	var badHeader error
	if err == nil {
		badHeader = c.requestMetadata(s)
		// What a call waits for its admission is part of its time.
		var badTimeout error
		if deadline, badTimeout = m.deadline(r.Header); badHeader == nil {
			badHeader = badTimeout
		}
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
		// What is wrong with the header is told to those who may call: a token may be
		// too large for a header, and is a bad token first.
		if err = badHeader; err == nil {
			var cancel context.CancelFunc
			ctx, cancel = g.bound(ctx, m, deadline, c)
			defer cancel()
			ctx, err = client.Open(ctx)
		}
	}
	if err == nil {
		c.fillRelay(m, client)
		if m.set.NeedsContext() {
			ctx = policy.NewContext(ctx, &c.request)
		}
		result = proxy.Relay(ctx, &c.relay)
		err = result.Err
	}
	err = g.ended(ctx, err)
	if err != nil && (!admitted || !m.Shape.ClientStreams) {
		g.boundRest(w, r)
	}
	if wait := attempt.RetryAfter(err, result.Trailer); wait > 0 {
		c.askToWait(wait, w.Header(), &result)
	}
	httpStatus := client.Finish(err, result.Trailer)
	if err != nil && !m.Shape.ClientStreams {
		readRest(w, r)
	}
	c.record(err, httpStatus, &result)
	if err == policy.ErrExpired { // bare, as ended gives it
		c.request.RefusedBy = "auth"
	}
	m.set.Done(&c.request, &c.outcome)
	if httpStatus == proxy.Aborted {
		panic(http.ErrAbortHandler) // the client must not take what it has for the whole
	}
}
