package gateway

import (
	"context"
	"net/http"

	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/upstream"
	"github.com/transom-gateway/transom/transcoder/compression"
)

// httpForward sends the requests of a route to a plain HTTP upstream.
type httpForward struct {
	httpWay
	rewrite httproute.Rewrite
	// host is the Host that the server sees; ofServer: its own. Neither: the client's.
	host     string
	ofServer bool
	// mapsBack: what the answer says of places is mapped to what the client sees.
	mapsBack bool
	upgrades []string
	maxBody  int64
	via      bool // answers carry Via
	// compression says which answers are compressed; nil: none is.
	compression *compression.Rule
	// keys keeps answers to keys of clients; nil: none are kept.
	keys keeper
	// places are where requests under a key take their places; nil: there are as many as there
	// are requests.
	places entrance
}

// copier is the policy that sends copies of requests to another upstream (Traffic 208).
type copier interface {
	// Mirror names the upstream.
	Mirror() string
	// Copy has a copy made of a request that is about to be forwarded. done, nil for nothing,
	// is to be called when it was.
	Copy(to *httpbackend.Upstream, x *httpbackend.Exchange) (done func())
}

// responder is the policy that answers requests from what is kept (Traffic 131).
type responder interface {
	// Serve answers a request, or has it go its way. path is that which the route was found
	// by, with the query.
	Serve(ctx context.Context, r *policy.Request, path string, x *httpbackend.Exchange, way httpbackend.Way) httpbackend.Result
}

// httpWay is one upstream and how requests are made there.
type httpWay struct {
	upstream *httpbackend.Upstream
	// kept answers from what is kept; nil: nothing is.
	kept responder
	// mirror has requests copied to another upstream; nil: none are.
	mirror   copier
	mirrorTo *httpbackend.Upstream
	// attempts says how they are made; fallback answers while the circuit breaker is open, nil
	// for none.
	attempts *attempt.Plain
	fallback *httpbackend.Upstream
}

// serve implements httpAction.
func (f *httpForward) serve(ctx context.Context, c *call, d *httpDownstream) proxy.Result {
	x := httpbackend.Exchange{
		W: c.w, R: c.r,
		Target: withQuery(f.rewrite.Apply(c.match.clean), c.r), Host: f.hostFor(c),
		Header:   c.onHeader,
		Answer:   c.onAnswer,
		Upgrades: f.upgrades, MaxBody: f.maxBody, Idle: c.route.guard.idleTimeout, ViaAnswers: f.via,
	}
	to, placing := &f.httpWay, c.route.guard.placing
	if s := c.route.guard.split; s != nil {
		own, err := s.pick(&c.request)
		if err != nil {
			return proxy.Result{Err: err}
		}
		to, placing = &own.http, own.placing
	}
	x.Attempts = to.attempts
	if c.handshake != nil {
		x.AfterHandshake = c.handshake.Wait
	}
	if placing != nil {
		x.Place = placing.place(c.place(ctx, placing), nil)
	}
	var answer *compression.Answer
	if f.compression != nil && len(c.r.Header["Upgrade"]) == 0 && c.r.Method != http.MethodConnect {
		answer = f.compression.Answer(c.w, c.r)
		x.W = answer
	}
	result := f.keyed(ctx, c, d, to, &x)
	if answer != nil {
		if err := answer.End(result.Err == nil); err != nil && result.Err == nil {
			result.Err = err // the client has gone
		}
	}
	d.written, d.upgraded = result.Status, result.Upgraded
	result.Tries.Endpoint = result.Server
	return proxy.Result{Err: result.Err, Tries: result.Tries, RequestBytes: result.Sent, ResponseBytes: result.Received}
}

// answered makes an exchange, or answers it with what the cache has.
func (w *httpWay) answered(ctx context.Context, c *call, x *httpbackend.Exchange) httpbackend.Result {
	if w.kept != nil {
		return w.kept.Serve(ctx, &c.request, withQuery(c.match.clean, c.r), x, w)
	}
	return w.Forward(ctx, x)
}

var _ httpbackend.Way = (*httpWay)(nil)

// Forward implements httpbackend.Way.
func (w *httpWay) Forward(ctx context.Context, x *httpbackend.Exchange) httpbackend.Result {
	if w.mirror != nil {
		if done := w.mirror.Copy(w.mirrorTo, x); done != nil {
			defer done()
		}
	}
	result := w.upstream.Forward(ctx, x)
	if result.Refused && w.fallback != nil {
		x.Attempts, x.Place, x.Substitute = nil, upstream.Place{}, true // once, without retries (Traffic 107)
		result = w.fallback.Forward(ctx, x)
	}
	return result
}

// Detach implements httpbackend.Way.
func (w *httpWay) Detach(x *httpbackend.Exchange) *httpbackend.Exchange {
	return w.upstream.Detach(x)
}

// addAttempts has the requests of a route made as its policies say.
func (b *builder) addAttempts(f *httpWay, set *policy.Set) {
	if part, ok := policy.Find[responder](set); ok {
		f.kept = part
	}
	f.attempts = new(attempt.Plain)
	f.attempts.Watcher, _ = policy.Find[proxy.Watcher](set) // nil for none: nobody traces
	if part, ok := policy.Find[interface{ Retry() *attempt.Retry }](set); ok {
		f.attempts.Retry = part.Retry()
	}
	part, ok := policy.Find[interface {
		Circuit() *attempt.Circuit
		Fallback() string
	}](set)
	if ok {
		f.attempts.Circuit = part.Circuit()
		f.fallback = b.httpUpstreams[part.Fallback()]
	}
}

// addMirror has the requests of a route copied, if its policies say so.
func (b *builder) addMirror(f *httpWay, set *policy.Set) {
	part, ok := policy.Find[copier](set)
	if !ok {
		return
	}
	if to := b.httpUpstreams[part.Mirror()]; to != nil { // what is wrong with it was said
		f.mirror, f.mirrorTo = part, to
	}
}

// hostFor is the Host that the server sees; "" for its own.
func (f *httpForward) hostFor(c *call) string {
	if f.host != "" || f.ofServer {
		return f.host
	}
	return c.r.Host
}

// withQuery is a path with the query of a request.
func withQuery(path string, r *http.Request) string {
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		return path
	}
	return path + "?" + r.URL.RawQuery
}

// explain implements httpAction.
func (f *httpForward) explain(row func(name, format string, args ...any), c *call) {
	host := f.hostFor(c)
	if host == "" {
		host = "the server's own"
	}
	row("sends", "%s %s, Host: %s", c.r.Method, withQuery(f.rewrite.Apply(c.match.clean), c.r), host)
	if f.compression != nil {
		row("compresses", "%s", f.compression)
	}
}
