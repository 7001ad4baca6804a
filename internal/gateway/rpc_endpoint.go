package gateway

import (
	"context"
	"net/http"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/protocols"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// An endpoint is what a route leads to. Finding the route, admitting the call, telling
// of it and logging it are the same for all endpoints; how the client's request is read,
// who answers it and in what form is the endpoint's. One is made when the snapshot is
// built, and serves many calls at once.
type endpoint interface {
	// accepts settles the protocol of a request for the endpoint's own path, which
	// detected is the first guess of. False where the path does not take the request.
	accepts(r *http.Request, detected *transcoder.Protocol) (*transcoder.Protocol, bool)
	// downstream makes the client's half of a call, and reads nothing of it yet. Its
	// Finish answers a call that was refused, too.
	downstream(p *transcoder.Protocol, x exchange.Exchange) proxy.Downstream
	// relay carries a call from its open downstream to the end. Finish is its caller's.
	relay(ctx context.Context, c *call) proxy.Result
	// protocolName is the protocol of a request, for logs and metrics.
	protocolName(p *transcoder.Protocol, h http.Header) string
	// dropsBody reports whether the endpoint takes no notice of a request's body.
	dropsBody(r *http.Request, p *transcoder.Protocol) bool
}

// rpcEndpoint is an RPC through the edge of the client's protocol. Its backend is a
// server, or within the gateway for one of its own services.
type rpcEndpoint struct {
	binding *transcoder.Binding
	method  *Method
}

var _ endpoint = (*rpcEndpoint)(nil)

// accepts implements endpoint.
func (e *rpcEndpoint) accepts(r *http.Request, detected *transcoder.Protocol) (*transcoder.Protocol, bool) {
	return protocols.Table.OnPath(e.binding.Method, r, detected)
}

// downstream implements endpoint.
func (e *rpcEndpoint) downstream(p *transcoder.Protocol, x exchange.Exchange) proxy.Downstream {
	return p.Open(e.binding, x)
}

// relay implements endpoint.
func (e *rpcEndpoint) relay(ctx context.Context, c *call) proxy.Result {
	m := e.method
	c.rpc = proxy.Call{
		Downstream:  c.client,
		Backend:     m.backend,
		Method:      m.Path,
		Shape:       m.Shape,
		Header:      c.request.Metadata,
		IdleTimeout: m.idleTimeout,
	}
	if m.set.ReadsMessages() {
		c.rpc.OnRequest = c.onRequest
	}
	if m.set.ReadsReply() {
		c.rpc.OnReply = c.onReply
	}
	if m.set.NeedsContext() {
		ctx = policy.NewContext(ctx, &c.request)
	}
	return proxy.Relay(ctx, &c.rpc)
}

// protocolName implements endpoint.
func (e *rpcEndpoint) protocolName(p *transcoder.Protocol, h http.Header) string {
	return p.NameFor(e.binding, h)
}

// dropsBody implements endpoint.
func (e *rpcEndpoint) dropsBody(r *http.Request, p *transcoder.Protocol) bool {
	return !p.RPC && p != websocket.Protocol && e.binding.DropsBody(r)
}

// newRPCRoute makes the route of a binding, whose method is of a registry; nil for the
// gateway's own. where is the place of its rule in the configuration, if it has one.
func newRPCRoute(r *schema.Registry, m *Method, binding *transcoder.Binding, where string) *Route {
	route := &Route{
		method: m, endpoint: &rpcEndpoint{binding, m},
		httpMethod: binding.HTTPMethod, template: binding.Template.String(), rule: binding.String(),
		hidesPath: binding.HidesPath(), registry: r, inConfig: where,
	}
	for _, v := range binding.Template.Variables {
		route.variables = append(route.variables, v.FieldPath)
	}
	return route
}
