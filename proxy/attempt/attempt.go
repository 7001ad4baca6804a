// Package attempt makes calls of an upstream: it is the proxy.Backend of each
// attempt, and makes another one where the server has certainly not seen the first.
package attempt

import (
	"context"
	"errors"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// GRPC is a proxy.Backend that speaks gRPC.
type GRPC struct {
	conn  *upstream.Conn
	limit int // of one message of the backend, in bytes
}

var _ proxy.Backend = (*GRPC)(nil)

// NewGRPC makes a backend of a connection. maxMessage bounds one message of
// the backend in bytes, before it is read.
func NewGRPC(conn *upstream.Conn, maxMessage int) *GRPC { return &GRPC{conn: conn, limit: maxMessage} }

// Call implements Backend. A call that the backend has certainly not seen goes
// to another connection once, if the backend says so; what was not even sent is the
// upstream's to send.
func (g *GRPC) Call(ctx context.Context, method string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	defer request.Free()
	r := transport.Request{Method: method, Header: header, Limit: g.limit, Message: request.Buffers()}
	var t upstream.Turn
	reply, err := g.conn.Call(ctx, &t, &r)
	if errors.Is(err, transport.ErrUnprocessed) {
		t.Elsewhere()
		reply, err = g.conn.Call(ctx, &t, &r)
	}
	if err != nil {
		return proxy.Reply{Header: reply.Header, Trailer: reply.Trailer}, g.failed(err)
	}
	return proxy.Reply{Message: proxy.FrameOf(reply.Message), Header: reply.Header, Trailer: reply.Trailer}, nil
}

// Open implements Backend. As with Call, a stream that the backend has not seen
// goes to another connection, once.
func (g *GRPC) Open(ctx context.Context, method string, header proxy.Metadata, _ proxy.Shape) (proxy.Stream, error) {
	s := &grpcStream{backend: g, ctx: ctx, again: true}
	s.request = transport.Request{Method: method, Header: header, Limit: g.limit}
	var err error
	if s.stream, err = g.conn.Open(ctx, &s.turn, &s.request); err != nil {
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
