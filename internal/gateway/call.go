package gateway

import (
	"context"
	"net/http"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/earlydata"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/upstream"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// call is the memory of one request; it is kept for the next one.
type call struct {
	snapshot *Snapshot
	w        exchange.Front // counts what is sent
	r        *http.Request
	match    match
	route    *Route // nil for none
	client   proxy.Downstream

	origin  origin
	request policy.Request
	rpc     proxy.Call // of an endpoint that relays frames
	outcome policy.Outcome
	size    trueSize

	inside *insideCall // of a subscription; nil for a client's call

	opened    bool  // the client's half of the call is open
	badHeader error // what keeps an admitted call from the backend
	bounds    bounds
	handshake *earlydata.Handshake // that may not be over yet; nil: it is, or nothing depends on it
	placing   *placing             // at the upstream that it goes to
	ticket    *upstream.Ticket     // of a client that is brought back to its endpoint; nil: none is

	// The functions below are made once, not per call.
	beforeHeader func(http.Header)
	onRequest    func(context.Context, *proxy.Frame) error
	onReply      func(context.Context, *proxy.Frame) error
	known        func(context.Context, proxy.Source) (proxy.Reply, bool, error)
	onHeader     func(http.Header)              // of a plain HTTP request
	onAnswer     func(int, string, http.Header) // to one
}

var calls = sync.Pool{New: func() any {
	c := new(call)
	c.beforeHeader = func(h http.Header) {
		c.route.guard.set.ResponseHeader(&c.request, h)
		c.stick(h)
	}
	c.onRequest = c.checkMessage
	c.onReply = c.changeReply
	c.known = c.recall
	c.onHeader, c.onAnswer = c.toServer, c.toClient
	return c
}}

// begin takes a request in.
func (c *call) begin(s *Snapshot, w http.ResponseWriter, r *http.Request) {
	c.snapshot, c.r = s, r
	c.w = c.size.begin(w, r)
}

// prepare fills the policies' view of the request.
func (c *call) prepare() {
	q := &c.request
	q.HTTP, q.RPC, q.Route = c.r, c.route.guard.name, c.route.listing.Path
	_, isRPC := c.route.endpoint.method()
	q.PlainHTTP = !isRPC
	q.ResponseHeader = c.w.Header()
	q.Stream = c.route.endpoint.streams(c.r, c.match.protocol)
	q.WebSocket = c.match.protocol == websocket.Protocol
	q.Protocol = c.route.endpoint.protocolName(c.match.protocol, c.r.Header)
	delete(c.r.Header, clientCertHeader) // no client says what it has shown
	c.findOrigin()
	c.identify()
	if c.inside != nil {
		q.Subscription, q.Hops, q.Identity = c.inside.name, c.inside.hops, &c.inside.identity
	}
}

// identify says by what id the request is found in the logs, to the policies as to
// the client (Semantics 321).
func (c *call) identify() {
	answer := c.w.Header()
	id := observe.RequestID(c.r.Header)
	c.request.RequestID = id
	if said := c.r.Header["X-Request-Id"]; len(said) == 1 && said[0] == id {
		answer["X-Request-Id"] = said // the client's own needs no copy
	} else {
		answer["X-Request-Id"] = []string{id}
	}
}

// findOrigin tells the policies where the request comes from.
func (c *call) findOrigin() {
	c.origin = c.snapshot.proxies.origin(c.r)
	c.request.ClientIP, c.request.Host, c.request.Scheme = c.origin.client, c.origin.host, c.origin.scheme
}

// requestMetadata maps the request's headers and says who it was forwarded for.
// The gateway writes the X-Forwarded family itself; what a client says there is
// kept only behind a trusted proxy.
func (c *call) requestMetadata() error {
	q := &c.request
	md := &q.Metadata
	if err := c.snapshot.headers.Request(md, q.HTTP.Header, c.match.protocol.RPC); err != nil {
		return err
	}
	if md.Get("x-request-id") != q.RequestID {
		md.Set("x-request-id", q.RequestID)
	}
	c.origin.tell(md, c.snapshot.rfc7239)
	if said := clientCert(q, c.snapshot.clientCert); said != "" {
		md.Add("x-forwarded-client-cert", said)
	}
	if c.inside != nil {
		c.inside.tell(md)
	}
	return nil
}

// recycle gives the call's memory back, without what belonged to the request.
func (c *call) recycle() {
	if c.r != nil && c.r.Close && c.size.unread(c.r) {
		httpbackend.EndGently(c.size.out.ResponseWriter) // net/http does where the connection would go on
	}
	c.size.reset()
	metadata := c.request.Metadata
	clear(metadata)
	c.request.Reset()
	c.request.Metadata = metadata[:0]
	c.snapshot, c.w, c.r, c.route, c.client, c.inside = nil, nil, nil, nil, nil, nil
	c.rpc = proxy.Call{}
	c.outcome = policy.Outcome{}
	c.opened, c.badHeader, c.bounds, c.placing, c.ticket, c.handshake = false, nil, bounds{}, nil, nil, nil
	c.origin = origin{}
	c.match.reset()
	calls.Put(c)
}

func (c *call) checkMessage(ctx context.Context, f *proxy.Frame) error {
	if err := c.route.guard.set.Message(ctx, &c.request, f.Bytes()); err != nil {
		if status.Code(err) == codes.Unavailable { // not for what it says
			return err
		}
		return refusedMessage{err}
	}
	return nil
}

// recall asks the policies for an answer that they know by what the client wrote.
func (c *call) recall(ctx context.Context, from proxy.Source) (proxy.Reply, bool, error) {
	reply, known, err := c.route.guard.set.Recall(ctx, &c.request, from)
	c.rpc.Received = c.request.Received
	return reply, known, err
}

func (c *call) changeReply(ctx context.Context, f *proxy.Frame) error {
	before := f.Bytes()
	c.request.Received = c.rpc.Received
	after, err := c.route.guard.set.Reply(ctx, &c.request, before)
	if err != nil {
		return err
	}
	if len(after) != len(before) || len(after) > 0 && &after[0] != &before[0] {
		f.Free()
		*f = proxy.WrapFrame(after)
	}
	return nil
}
