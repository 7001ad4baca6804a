package gateway

import (
	"context"
	"net/http"

	"github.com/transom-gateway/transom/internal/stack"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.take(w, r, "") }

// ServeOperator serves a request that somebody makes in the console. It is like all others but
// for its mark in the access log (Surface 241).
func (g *Gateway) ServeOperator(w http.ResponseWriter, r *http.Request, who string) {
	g.take(w, r, who)
}

// take serves a request, of an operator or, where that is "", of a client.
func (g *Gateway) take(w http.ResponseWriter, r *http.Request, operator string) {
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
	r = completed(r)
	c.begin(snapshot, w, r)
	c.request.Operator = operator
	route, err := snapshot.find(r, &c.match)
	if route == nil {
		g.unmatched(c, err)
		return
	}
	if r.ProtoMajor == 3 && !route.alone { // whose goroutines are new
		stack.ForCall(false)
	}
	c.route = route
	c.guardBody(g.options.Overload)
	g.serve(c, err)
}

// serve carries one request on a route through. err is what finding the route
// found wrong with the request already.
func (g *Gateway) serve(c *call, err error) {
	if c.route.endpoint.streams(c.r, c.match.protocol) {
		g.streams.Add(1)
		defer g.streams.Add(-1)
	}
	defer c.bounds.release()
	c.prepare()
	c.openEdge(&g.readings)
	ctx := c.r.Context()
	if err == nil {
		ctx, err = c.admit(ctx)
	}
	if err == nil {
		ctx, err = g.open(ctx, c)
		c.opened = err == nil
	}
	var result proxy.Result
	if err == nil {
		result = c.route.endpoint.relay(ctx, c)
		err = result.Err
	}
	g.finish(ctx, c, g.ended(ctx, err), &result)
}

// openEdge makes the client's half of the call, which answers it, whatever comes.
func (c *call) openEdge(readings *exchange.Readings) {
	x := exchange.Exchange{W: c.w, R: c.r, Values: c.match.path.Values, Readings: readings}
	if c.route.guard.changesHeader {
		x.BeforeHeader = c.beforeHeader
	}
	c.client = c.route.endpoint.downstream(c.match.protocol, x)
	if c.route.guard.set.Concludes() {
		c.request.Answer, _ = c.client.(proxy.Answer)
	}
}

// admit asks the policies. The context is the call's from here on.
func (c *call) admit(ctx context.Context) (context.Context, error) {
	guard := c.route.guard
	var tooEarly error
	if c.r.Header["Early-Data"] != nil {
		tooEarly = c.settleEarlyData(ctx)
	}
	if c.badHeader = c.route.endpoint.begin(c); c.badHeader == nil {
		c.badHeader = tooEarly
	}
	// What a call waits for its admission is part of its time.
	deadline, whose, badTimeout := guard.deadline(c.r.Header)
	c.bounds.whose = whose
	if c.badHeader == nil {
		c.badHeader = badTimeout
	}
	if c.bounds.deadline = deadline; !deadline.IsZero() {
		ctx, c.bounds.endDeadline = context.WithDeadlineCause(ctx, deadline, c.bounds.whose)
	}
	ctx, err := guard.set.Admit(ctx, &c.request)
	if err != nil {
		return ctx, lateRefusal(ctx, err)
	}
	return ctx, nil
}

// open bounds an admitted call and begins to read it.
func (g *Gateway) open(ctx context.Context, c *call) (context.Context, error) {
	// What is wrong with the header is told to those who may call: a token may be
	// too large for a header, and is a bad token first.
	if c.badHeader != nil {
		return ctx, c.badHeader
	}
	ctx, c.bounds.unbind = c.route.endpoint.bound(ctx, g, c)
	return c.client.Open(ctx)
}

// finish answers the call, however it ended, and tells of it.
func (g *Gateway) finish(ctx context.Context, c *call, err error, result *proxy.Result) {
	guard, streamed := c.route.guard, c.route.endpoint.clientStreams()
	if guard.set.Concludes() {
		c.record(err, c.answered(err), result)
		err = guard.set.Conclude(ctx, &c.request, &c.outcome, err)
	}
	if err != nil && (!c.opened || !streamed) { // the edge of an open stream bounds it
		g.boundRest(c.w, c.r)
	}
	// A policy that refuses says it itself.
	if wait := attempt.RetryAfter(err, result.Trailer); wait > 0 && c.w.Header()["Retry-After"] == nil {
		c.askToWait(wait, c.w.Header(), result)
	}
	httpStatus, shown := c.showPage(err)
	if !shown {
		httpStatus = c.client.Finish(err, result.Trailer)
	}
	if err != nil && !streamed {
		readRest(c.w, c.r)
	}
	c.record(err, httpStatus, result)
	if err == policy.ErrExpired { // bare, as ended gives it
		c.request.RefusedBy = "auth"
	}
	if by := proxy.RefuserOf(err); by != "" {
		c.request.RefusedBy = by
	}
	guard.set.Done(&c.request, &c.outcome)
	if c.inside != nil {
		c.inside.ended(&c.outcome, err, result)
	}
	if httpStatus == proxy.Aborted {
		(&exchange.Exchange{W: c.w, R: c.r}).Abort()
	}
}
