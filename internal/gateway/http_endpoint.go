package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// httpEndpoint is what a route of the configuration leads to.
type httpEndpoint struct {
	guard
	action httpAction
	// prepare changes a request before its policies see it; nil: it stays as it is.
	prepare func(r *http.Request)
	// status are the HTTP statuses that codes have by the policy.
	status   map[codes.Code]int
	errors   *transcoder.ErrorWriter
	pages    errorPages
	inConfig string
	route    *transomv1.HttpRoute
}

// httpAction answers the admitted requests of a route.
type httpAction interface {
	// serve answers a request, and notes in d what it has written.
	serve(ctx context.Context, c *call, d *httpDownstream) proxy.Result
	// explain says what becomes of a request, for people.
	explain(row func(name, format string, args ...any), c *call)
}

var _ endpoint = (*httpEndpoint)(nil)

// accepts implements endpoint.
func (e *httpEndpoint) accepts(_ *http.Request, detected *transcoder.Protocol) (*transcoder.Protocol, bool) {
	return detected, true
}

// clientStreams implements endpoint: the body passes as it comes.
func (e *httpEndpoint) clientStreams() bool { return false }

// method implements endpoint: it is none.
func (e *httpEndpoint) method() (protoreflect.MethodDescriptor, bool) { return nil, false }

// String implements endpoint.
func (e *httpEndpoint) String() string { return e.name }

// begin implements endpoint: policies add to what the server is told.
func (e *httpEndpoint) begin(c *call) error {
	if e.prepare != nil {
		e.prepare(c.r)
	}
	return nil
}

// streams implements endpoint: an upgrade and a stream of events may go on without end.
func (e *httpEndpoint) streams(r *http.Request, p *transcoder.Protocol) bool {
	return p == websocket.Protocol || len(r.Header["Upgrade"]) > 0 || field.Accepts(r.Header["Accept"], "text/event-stream")
}

// downstream implements endpoint.
func (e *httpEndpoint) downstream(p *transcoder.Protocol, x exchange.Exchange) proxy.Downstream {
	return &httpDownstream{endpoint: e, protocol: p, x: x}
}

// relay implements endpoint.
func (e *httpEndpoint) relay(ctx context.Context, c *call) proxy.Result {
	d, ok := c.client.(*httpDownstream)
	if !ok {
		return proxy.Result{} // downstream makes no other
	}
	result := e.action.serve(ctx, c, d)
	if st, ok := status.FromError(result.Err); ok && st.Code() == codes.DeadlineExceeded && st.Message() == context.DeadlineExceeded.Error() {
		result.Err = httpError(http.StatusGatewayTimeout, codes.DeadlineExceeded, fmt.Sprintf("the server did not answer within %v (timeout)", e.timeout))
	}
	return result
}

// bound implements endpoint: what may go on without end is ended with the gateway, and
// with the credential that let it in. Of others the server says when the client is gone.
func (e *httpEndpoint) bound(ctx context.Context, g *Gateway, c *call) (context.Context, context.CancelFunc) {
	if c.request.Stream {
		return c.boundStream(ctx, g.ending, c.bounds.deadline)
	}
	return ctx, func() {}
}

// protocolName implements endpoint.
func (e *httpEndpoint) protocolName(p *transcoder.Protocol, _ http.Header) string {
	if p == websocket.Protocol {
		return p.Name
	}
	return "http"
}

// dropsBody implements endpoint.
func (e *httpEndpoint) dropsBody(*http.Request, *transcoder.Protocol) bool { return false }

// where implements endpoint.
func (e *httpEndpoint) where() string { return e.inConfig }

// same implements endpoint.
func (e *httpEndpoint) same(other endpoint) bool {
	o, ok := other.(*httpEndpoint)
	return ok && proto.Equal(e.route, o.route)
}

// httpDownstream answers for the gateway where no server has.
type httpDownstream struct {
	endpoint *httpEndpoint
	protocol *transcoder.Protocol
	x        exchange.Exchange
	// written is the status of the answer that has begun, 0 for none; upgraded: what
	// follows is no HTTP.
	written  int
	upgraded bool
}

var _ proxy.Downstream = (*httpDownstream)(nil)

// Open implements proxy.Downstream.
func (d *httpDownstream) Open(ctx context.Context) (context.Context, error) { return ctx, nil }

// Recv implements proxy.Downstream: there are no messages.
func (d *httpDownstream) Recv() (proxy.Frame, error) { return proxy.Frame{}, io.EOF }

// Header implements proxy.Downstream. It is not called.
func (d *httpDownstream) Header(metadata.MD) {}

// Send implements proxy.Downstream. It is not called.
func (d *httpDownstream) Send(proxy.Frame) error { return nil }

// Flush implements proxy.Downstream. It is not called.
func (d *httpDownstream) Flush() {}

// Unblock implements proxy.Downstream. It is not called.
func (d *httpDownstream) Unblock() {}

// Status implements proxy.Answer.
func (d *httpDownstream) Status(err error) int {
	if d.written != 0 || err == nil {
		return d.written
	}
	_, httpStatus := rpcerror.Of(err, d.endpoint.status)
	return rpcerror.ErrorStatus(httpStatus, status.Code(err))
}

// Whole implements proxy.Answer.
func (d *httpDownstream) Whole() bool { return false }

// Finish implements proxy.Downstream: it answers where no server has. An answer that has
// begun is broken off, so that no client takes it for whole.
func (d *httpDownstream) Finish(err error, _ metadata.MD) (httpStatus int) {
	switch {
	case d.written != 0 && err != nil && !d.upgraded:
		return proxy.Aborted
	case d.written != 0 || err == nil:
		return d.written
	}
	w, r := d.x.W, d.x.R
	if d.x.BeforeHeader != nil {
		d.x.BeforeHeader(w.Header())
	}
	if d.endpoint.status != nil {
		_, mapped := rpcerror.Of(err, d.endpoint.status)
		err = policy.WithHTTPStatus(err, mapped)
	}
	if !d.protocol.RPC && field.Accepts(r.Header["Accept"], "text/html") {
		// A person looks at it: the browser has a page of its own for a status (Semantics 26).
		_, httpStatus = rpcerror.Of(err, nil)
		d.endpoint.pages.write(w, r, httpStatus)
		return httpStatus
	}
	return d.endpoint.errors.Write(w, r, d.protocol, err)
}
