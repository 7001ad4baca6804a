package gateway

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/protocols"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// rpcMethod is one RPC with what the gateway knows of it.
type rpcMethod struct {
	*transcoder.Method
	guard
	backend proxy.Backend
	// tellsRequest: what answers the method reads the call's policy.Request.
	tellsRequest bool
}

// rpcEndpoint is an RPC through the edge of the client's protocol. Its backend is a
// server, or within the gateway for one of its own services.
type rpcEndpoint struct {
	binding  *transcoder.Binding
	of       *rpcMethod
	registry *schema.Registry // nil for the gateway's own services
	inConfig string           // where the rule stands in the configuration, if it does
}

var _ endpoint = (*rpcEndpoint)(nil)

// accepts implements endpoint.
func (e *rpcEndpoint) accepts(r *http.Request, detected *transcoder.Protocol) (*transcoder.Protocol, bool) {
	return protocols.Table.OnPath(e.binding.Method, r, detected)
}

// streams implements endpoint.
func (e *rpcEndpoint) streams(*http.Request, *transcoder.Protocol) bool {
	return !e.of.Shape.Unary()
}

// clientStreams implements endpoint.
func (e *rpcEndpoint) clientStreams() bool { return e.of.Shape.ClientStreams }

// method implements endpoint.
func (e *rpcEndpoint) method() (protoreflect.MethodDescriptor, bool) { return e.of.Descriptor, true }

// String implements endpoint.
func (e *rpcEndpoint) String() string { return string(e.of.Descriptor.FullName()) }

// describe implements describable.
func (e *rpcEndpoint) describe() transcoder.Description { return e.binding.Describe() }

// begin implements endpoint: headers become metadata.
func (e *rpcEndpoint) begin(c *call) error { return c.requestMetadata() }

// bound implements endpoint.
func (e *rpcEndpoint) bound(ctx context.Context, g *Gateway, c *call) (context.Context, context.CancelFunc) {
	if e.of.comesBack && !e.of.Shape.Unary() {
		if c.match.protocol == websocket.Protocol {
			ctx = context.WithoutCancel(ctx)
		}
		return c.boundStream(ctx, g.ending, c.bounds.deadline)
	}
	if c.match.protocol == websocket.Protocol { // also of a unary method: it may wait for its message
		// The edge says when the client is gone. Who closes the socket may reset the
		// stream at once; the call ends in its own time all the same.
		return c.boundStream(context.WithoutCancel(ctx), g.draining, c.bounds.deadline)
	}
	switch {
	case e.of.Shape.Unary():
	case e.of.endless, c.request.Protocol == "sse":
		return c.boundStream(ctx, g.draining, time.Time{})
	default:
		return c.boundStream(ctx, g.ending, time.Time{})
	}
	return ctx, func() {}
}

// downstream implements endpoint.
func (e *rpcEndpoint) downstream(p *transcoder.Protocol, x exchange.Exchange) proxy.Downstream {
	return p.Open(e.binding, x)
}

// relay implements endpoint.
func (e *rpcEndpoint) relay(ctx context.Context, c *call) proxy.Result {
	m := e.of
	backend, placing := m.backend, m.placing
	if m.split != nil {
		to, err := m.split.pick(&c.request)
		if err != nil {
			return proxy.Result{Err: err}
		}
		backend, placing = to.backend, to.placing
	}
	c.rpc = proxy.Call{
		Downstream:  c.client,
		Backend:     backend,
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
	if m.split == nil && m.set.Recalls(&c.request) {
		c.rpc.Known = c.known
	}
	if m.tellsRequest || m.set.NeedsContext(&c.request) {
		ctx = policy.NewContext(ctx, &c.request)
	}
	return proxy.Relay(c.place(ctx, placing), &c.rpc)
}

// protocolName implements endpoint.
func (e *rpcEndpoint) protocolName(p *transcoder.Protocol, h http.Header) string {
	return p.NameFor(e.binding, h)
}

// dropsBody implements endpoint.
func (e *rpcEndpoint) dropsBody(r *http.Request, p *transcoder.Protocol) bool {
	return !p.RPC && p != websocket.Protocol && e.binding.DropsBody(r)
}

// where implements endpoint.
func (e *rpcEndpoint) where() string {
	if e.inConfig != "" || e.registry == nil {
		return e.inConfig
	}
	rule := []int32{schema.HTTPOption}
	if e.binding.Template.String() == e.of.Path {
		rule = nil // no rule says so: it is the method's own path
	}
	return place(e.registry.Position(e.of.Descriptor, rule...))
}

// same implements endpoint.
func (e *rpcEndpoint) same(other endpoint) bool {
	o, ok := other.(*rpcEndpoint)
	return ok && (e.registry == o.registry || sameShape(e.of.Descriptor, o.of.Descriptor))
}

// sameShape compares the messages of two methods, their own fields alone.
func sameShape(a, b protoreflect.MethodDescriptor) bool {
	same := func(a, b protoreflect.MessageDescriptor) bool {
		return proto.Equal(protodesc.ToDescriptorProto(a), protodesc.ToDescriptorProto(b))
	}
	return a.IsStreamingClient() == b.IsStreamingClient() && a.IsStreamingServer() == b.IsStreamingServer() &&
		same(a.Input(), b.Input()) && same(a.Output(), b.Output())
}

// isConfigured reports whether the route leads elsewhere than to the gateway itself.
func (r *Route) isConfigured() bool {
	e, ok := r.endpoint.(*rpcEndpoint)
	return !ok || e.registry != nil
}
