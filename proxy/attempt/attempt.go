// Package attempt makes calls of an upstream, and makes them again: where the server
// has certainly not seen an attempt, always, and by a Retry where a method allows it.
package attempt

import (
	"context"
	"errors"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// GRPC is a proxy.Backend that speaks gRPC.
type GRPC struct {
	conn  *upstream.Conn
	limit int    // of one message of the backend, in bytes
	retry *Retry // nil: none
	place Placer // nil: calls can be made at any endpoint

	circuit *Circuit      // nil: none
	watcher proxy.Watcher // nil: none
}

// Placer says where a call is best made. message is that of a unary call, nil for
// others.
type Placer func(ctx context.Context, message []byte) upstream.Place

var _ proxy.Backend = (*GRPC)(nil)

// NewGRPC makes a backend of a connection. maxMessage bounds one message of
// the backend in bytes, before it is read.
func NewGRPC(conn *upstream.Conn, maxMessage int) *GRPC { return &GRPC{conn: conn, limit: maxMessage} }

// Retrying returns a backend that makes calls again as r says.
func (g *GRPC) Retrying(r *Retry) *GRPC {
	retrying := *g
	retrying.retry = r
	return &retrying
}

// Limiting returns a backend of whose answers one message has at most so many bytes.
func (g *GRPC) Limiting(maxMessage int) *GRPC {
	limiting := *g
	limiting.limit = maxMessage
	return &limiting
}

// Placing returns a backend that makes calls where p says.
func (g *GRPC) Placing(p Placer) *GRPC {
	placing := *g
	placing.place = p
	return &placing
}

// tries begins a call. request is that of a unary one, nil for others.
func (g *GRPC) tries(ctx context.Context, request *proxy.Frame) tries {
	t := tries{retry: g.retry, conn: g.conn, budget: g.conn.Budget(), circuit: g.circuit, watcher: g.watcher}
	if g.place != nil {
		var message []byte
		if request != nil {
			message = request.Bytes()
		}
		t.turn.At(g.place(ctx, message))
	}
	return t
}

// Call implements proxy.Backend.
func (g *GRPC) Call(ctx context.Context, method string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	defer request.Free()
	t := g.tries(ctx, &request)
	if wait, ok := t.ask(); !ok {
		if g.circuit.Fallback != nil {
			reply, err := g.circuit.Fallback.Call(ctx, method, header, request.Ref())
			reply.Substitute = true
			return reply, err
		}
		return proxy.Reply{}, t.circuit.Refusal(wait)
	}
	if g.retry != nil && g.retry.Hedge != nil {
		return g.callHedged(ctx, t, method, header, request)
	}
	r := transport.Request{Method: method, Header: header, Limit: g.limit, Message: request.Buffers()}
	for {
		within, end := t.begin(ctx)
		r.Header = t.watch(ctx, r.Header)
		reply, err := g.conn.Call(within, &t.turn, &r)
		t.turn.Told(err)
		if err == nil {
			t.seen(nil)
			t.judge(ctx, within, nil)
			end()
			return proxy.Reply{Message: proxy.FrameOf(reply.Message), Header: reply.Header, Trailer: reply.Trailer, Tries: t.tell()}, nil
		}
		err = late(within, err)
		t.seen(err)
		again := t.again(ctx, within, err, reply.Trailer)
		end()
		if !again {
			return proxy.Reply{Header: reply.Header, Trailer: reply.Trailer, Tries: t.tell()}, g.failed(err)
		}
		r.Header = t.header(header)
	}
}

// Open implements proxy.Backend.
func (g *GRPC) Open(ctx context.Context, method string, header proxy.Metadata, shape proxy.Shape) (proxy.Stream, error) {
	hedged := g.retry != nil && g.retry.Hedge != nil && !shape.ClientStreams
	if hedged && g.circuit == nil {
		return g.openHedged(ctx, method, header), nil
	}
	s := &grpcStream{backend: g, ctx: ctx, header: header, keeps: true}
	s.tries = g.tries(ctx, nil)
	if wait, ok := s.tries.ask(); !ok {
		if g.circuit.Fallback != nil {
			return g.circuit.Fallback.Open(ctx, method, header, shape)
		}
		return nil, g.circuit.Refusal(wait)
	}
	if hedged {
		s.tries.circuit.Breaker.Tell(s.tries.permit, breaker.Nothing) // it asks again once it has its request
		return g.openHedged(ctx, method, header), nil
	}
	s.request = transport.Request{Method: method, Header: header, Limit: g.limit}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// failed makes the relay's error of the transport's.
func (g *GRPC) failed(err error) error {
	var large *transport.TooLargeError
	if errors.As(err, &large) {
		return &proxy.LargeMessageError{Limit: g.limit}
	}
	return err
}
