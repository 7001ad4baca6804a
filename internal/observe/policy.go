package observe

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/transom-gateway/transom/policy"
)

// Method says what the calls of one Set belong to.
type Method struct {
	// RPC is "package.Service/Method"; empty for a plain HTTP route.
	RPC string
	// Routes are those that lead to the Set; a call belongs to the one whose
	// template is its Request.Route, else to the first. None means Unmatched: the
	// log and traces then name the Request.Route that there is, as a preflight has.
	Routes []*RouteMetrics
	// Hidden are the routes, among others, whose paths hold what no log and no
	// trace may repeat: they have the template in its place.
	Hidden []*RouteMetrics
	// Behind are the names of the policies that follow in the Set, in their
	// order, whose decisions are counted.
	Behind []string
}

// Policies returns what stands in front of a method's policies and sees every
// call that reaches the Set, also the refused ones.
func (t *Telemetry) Policies(m Method) []policy.Part {
	p := &observer{telemetry: t, rpc: valid(m.RPC)}
	routes := m.Routes
	if len(routes) == 0 {
		routes = []*RouteMetrics{t.Metrics.Unmatched()}
		p.near = map[string]*observed{}
		for _, r := range m.Hidden {
			p.near[r.key.route] = &observed{template: r.key.route, metrics: routes[0], hidden: true, access: t.named(r.key.route, "")}
		}
	}
	for _, r := range routes {
		o := observed{template: r.key.route, metrics: r, hidden: slices.Contains(m.Hidden, r)}
		o.access = t.named(r.key.route, r.key.rpc)
		p.routes = append(p.routes, o)
	}
	for _, name := range m.Behind {
		// A policy may stand in the Set in two parts; a call is one decision of it.
		if !slices.ContainsFunc(p.behind, func(d decision) bool { return d.name == name }) {
			p.behind = append(p.behind, t.Metrics.decision(name, p.rpc))
		}
	}
	return []policy.Part{p}
}

// named is the access log for the calls of a route; nil for none.
func (t *Telemetry) named(route, rpc string) slog.Handler {
	if t.access == nil {
		return nil
	}
	return t.access.WithAttrs([]slog.Attr{slog.String("route", route), slog.String("rpc", rpc)})
}

// observer is logs, metrics and traces as one policy, so that a call pays for
// one.
type observer struct {
	telemetry *Telemetry
	rpc       string
	routes    []observed // at least one
	// near are the routes, by their templates, whose paths are hidden also where they
	// do not take the request. Nil where the observer has routes of its own.
	near   map[string]*observed
	behind []decision
}

var _ policy.Admitter = (*observer)(nil)

// observed is what a route's calls are recorded with.
type observed struct {
	template string
	metrics  *RouteMetrics
	hidden   bool         // the template stands for the path
	access   slog.Handler // nil: no access log
}

// path is what is said of a request's path.
func (o *observed) path(r *policy.Request) string {
	if o.hidden {
		return o.template
	}
	return clip(r.HTTP.URL.EscapedPath(), maxLoggedPath)
}

// decision counts what one policy decided on one RPC.
type decision struct {
	name              string
	admitted, refused prometheus.Counter
}

func (m *Metrics) decision(name, rpc string) decision {
	return decision{
		name:     name,
		admitted: m.decisions.WithLabelValues(valid(name), rpc, "admitted"),
		refused:  m.decisions.WithLabelValues(valid(name), rpc, "refused"),
	}
}

// Name implements policy.Part.
func (*observer) Name() string { return "telemetry" }

// Admit implements policy.Admitter: it notes the start of a call and refuses
// nothing.
func (p *observer) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	c := newCall()
	c.observer, c.request, c.start = p, r, time.Now()
	c.route = p.routeOf(r)
	c.metrics = c.route.metrics.protocol(r.Protocol)
	c.metrics.inFlight.Inc()
	if p.telemetry.tracer != nil {
		ctx, c.span = p.telemetry.startSpan(ctx, r, c.route)
	}
	return ctx, c.done, nil
}

// routeOf is what a call is recorded with.
func (p *observer) routeOf(r *policy.Request) *observed {
	for i := 1; i < len(p.routes); i++ {
		if p.routes[i].template == r.Route {
			return &p.routes[i]
		}
	}
	first := &p.routes[0]
	if p.near == nil || r.Route == "" {
		return first
	}
	if o := p.near[r.Route]; o != nil {
		return o
	}
	return &observed{template: r.Route, metrics: first.metrics, access: p.telemetry.named(r.Route, "")}
}

// call is one call under way. Calls are pooled, each with the function that
// ends it, so that a call allocates nothing here.
type call struct {
	observer *observer
	route    *observed
	request  *policy.Request
	metrics  *protocolMetrics
	start    time.Time
	span     trace.Span // nil without tracing

	done policy.Done // c.end
}

var calls sync.Pool

func newCall() *call {
	if c, ok := calls.Get().(*call); ok {
		return c
	}
	c := new(call)
	c.done = c.end
	return c
}

// end records how the call ended and gives c back.
func (c *call) end(o *policy.Outcome) {
	took := time.Since(c.start) // cheaper than time.Now: the monotonic clock alone
	m := c.metrics
	m.inFlight.Dec()
	byCode := m.code(o.Code)
	byCode.requests.Inc()
	byCode.duration.Observe(took.Seconds())
	m.requestBytes.Observe(float64(o.RequestBytes))
	m.responseBytes.Observe(float64(o.ResponseBytes))
	if c.request.Stream {
		m.up.Add(float64(o.RequestMessages))
		m.down.Add(float64(o.ResponseMessages))
	}
	c.route.metrics.tried(o.Attempts, o.Hedged, o.RetryDenied)
	c.decide()
	if c.route.access != nil {
		c.log(took, o)
	}
	if c.span != nil {
		endSpan(c.span, c.request, o)
	}
	done := c.done
	*c = call{done: done}
	calls.Put(c)
}

// decide counts the decisions of the policies behind: all before the one that
// refused have admitted the call, those after it were not asked. None was where the
// one that refused is not among them: it stands before them all.
func (c *call) decide() {
	by := c.request.RefusedBy
	if by != "" && !slices.ContainsFunc(c.observer.behind, func(d decision) bool { return d.name == by }) {
		return
	}
	for i := range c.observer.behind {
		d := &c.observer.behind[i]
		if d.name == by {
			d.refused.Inc()
			return
		}
		d.admitted.Inc()
	}
}
