package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
)

// Kind is what sees every call that reaches a method's policies, also the refused ones:
// it belongs in front of them all.
func Kind(t *Telemetry) policy.Kind {
	return policy.Kind{Compile: func(s *policy.Scope) policy.Part { return &observer{telemetry: t, rpc: valid(s.RPC)} }}
}

// Unmatched is what sees the requests that no route takes. The log and traces name the
// Request.Route that there is, as a preflight has; hidden are the routes whose paths are
// not to be repeated, wherever a request for one may end.
func (t *Telemetry) Unmatched(hidden []policy.Route) policy.Part {
	p := &observer{telemetry: t, near: map[string]*observed{}}
	p.add(t.Metrics.Unmatched(), false)
	for _, r := range hidden {
		template := valid(r.Template)
		p.near[template] = &observed{template: template, metrics: p.routes[0].metrics, hidden: true, access: t.access.of(template, "")}
	}
	return p
}

// Finish implements policy.Finisher. A call belongs to the route whose template is its
// Request.Route, else to the first.
func (p *observer) Finish(s *policy.Set, routes []policy.Route) {
	for _, r := range routes {
		p.add(p.telemetry.Metrics.Route(p.rpc, r.Template), r.HidesPath)
	}
	if len(routes) == 0 {
		p.add(p.telemetry.Metrics.Unmatched(), false)
	}
	for _, part := range s.Parts() {
		if spread, ok := part.(interface{ Branches() []string }); ok {
			for _, name := range spread.Branches() {
				p.branches = append(p.branches, p.telemetry.Metrics.branch(p.rpc, valid(name)))
			}
			continue
		}
		_, refuses := part.(interface{ Refuses() bool })
		if w, ok := part.(policy.Wrapper); ok && !w.Decides() && !refuses {
			continue
		}
		p.count(part.Name())
	}
}

// add is for the calls of a route.
func (p *observer) add(r *RouteMetrics, hidden bool) {
	p.routes = append(p.routes, observed{template: r.key.route, metrics: r, hidden: hidden, access: p.telemetry.access.of(r.key.route, r.key.rpc)})
}

// count has the decisions of a policy counted. It may stand in the Set in two parts; a
// call is one decision of it.
func (p *observer) count(name string) {
	if !slices.ContainsFunc(p.behind, func(d decision) bool { return d.name == name }) {
		p.behind = append(p.behind, p.telemetry.Metrics.decision(name, p.rpc))
	}
}

// observer is logs, metrics and traces as one policy, so that a call pays for
// one.
type observer struct {
	telemetry *Telemetry
	rpc       string
	routes    []observed // at least one
	// near are the routes, by their templates, whose paths are hidden also where they
	// do not take the request. Nil where the observer has routes of its own.
	near map[string]*observed
	// behind are the policies that follow in the Set, in their order, whose decisions are
	// counted.
	behind []decision
	// branches are the upstreams that calls are spread over, if there are several.
	branches []*branchMetrics
}

var (
	_ policy.Admitter = (*observer)(nil)
	_ policy.Finisher = (*observer)(nil)
)

// observed is what a route's calls are recorded with.
type observed struct {
	template string
	metrics  *RouteMetrics
	hidden   bool       // the template stands for the path
	access   *accessLog // nil: no access log
}

// path is what is said of a request's path.
func (o *observed) path(r *policy.Request) string {
	if o.hidden {
		return o.template
	}
	return problem.Clip(r.HTTP.URL.EscapedPath(), maxLoggedPath)
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
	return &observed{template: r.Route, metrics: first.metrics, access: p.telemetry.access.of(r.Route, "")}
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
		c.route.metrics.streamed(took)
	}
	if c.request.Branch != "" {
		c.observer.branched(c.request, o.Code, took)
	}
	c.route.metrics.tried(o.Attempts, o.Hedged, o.RetryDenied)
	c.decide()
	if c.route.access != nil {
		c.log(took, o)
	}
	c.tell(took, o)
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
