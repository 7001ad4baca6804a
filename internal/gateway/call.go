package gateway

import (
	"context"
	"net/http"
	"sync"

	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// call is the memory of one request; it is kept for the next one.
type call struct {
	match   match
	origin  origin
	request policy.Request
	relay   proxy.Call
	outcome policy.Outcome
	set     *policy.Set
	size    trueSize
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

// prepare fills the policies' view of the request.
func (c *call) prepare(s *Snapshot, route *Route, w http.ResponseWriter, r *http.Request) {
	m := route.method
	q := &c.request
	q.HTTP, q.Method, q.RPC, q.Route = r, m.Descriptor, m.RPC, route.template
	q.ResponseHeader = w.Header()
	q.Stream = !m.Shape.Unary()
	q.WebSocket = c.match.protocol == websocket.Protocol
	q.Protocol = c.match.protocol.NameFor(route.Binding, r.Header)
	c.findOrigin(s, r)
	c.identify(r, w.Header())
}

// identify says by what id the request is found in the logs, to the policies as to
// the client (Semantics 321).
func (c *call) identify(r *http.Request, answer http.Header) {
	id := observe.RequestID(r.Header)
	c.request.RequestID = id
	if said := r.Header["X-Request-Id"]; len(said) == 1 && said[0] == id {
		answer["X-Request-Id"] = said // the client's own needs no copy
	} else {
		answer["X-Request-Id"] = []string{id}
	}
}

// findOrigin tells the policies where the request comes from.
func (c *call) findOrigin(s *Snapshot, r *http.Request) {
	c.origin = s.proxies.origin(r)
	c.request.ClientIP, c.request.Host, c.request.Scheme = c.origin.client, c.origin.host, c.origin.scheme
}

// requestMetadata maps the request's headers and says who it was forwarded for.
// The gateway writes the X-Forwarded family itself; what a client says there is
// kept only behind a trusted proxy.
func (c *call) requestMetadata(s *Snapshot) error {
	q := &c.request
	md := &q.Metadata
	if err := s.headers.Request(md, q.HTTP.Header, c.match.protocol.RPC); err != nil {
		return err
	}
	if md.Get("x-request-id") != q.RequestID {
		md.Set("x-request-id", q.RequestID)
	}
	c.origin.tell(md)
	return nil
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
	c.size.reset()
	metadata := c.request.Metadata
	clear(metadata)
	c.request.Reset()
	c.request.Metadata = metadata[:0]
	c.relay = proxy.Call{}
	c.outcome = policy.Outcome{}
	c.set = nil
	c.origin = origin{}
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
