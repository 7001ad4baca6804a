package proxy

import (
	"context"
	"errors"

	"github.com/transom-gateway/transom/proxy/transport"
)

// GRPC is a Backend that speaks gRPC.
type GRPC struct {
	conn  *Conn
	limit int // of one message of the backend, in bytes
}

var _ Backend = (*GRPC)(nil)

// NewGRPC makes a backend of a connection. maxMessage bounds one message of
// the backend in bytes, before it is read.
func NewGRPC(conn *Conn, maxMessage int) *GRPC { return &GRPC{conn: conn, limit: maxMessage} }

// Call implements Backend. A call that the backend has certainly not seen goes
// to another connection: any number of times where it was not even sent, once
// where the backend says so.
func (g *GRPC) Call(ctx context.Context, method string, header Metadata, request Frame) (Reply, error) {
	defer request.Free()
	r := transport.Request{Method: method, Header: header, Limit: g.limit, Message: request.buffers}
	var t turn
	for sent := false; ; {
		conn, reserved, err := g.conn.pick(ctx, &t)
		if err != nil {
			return Reply{}, err
		}
		r.Reserved = reserved
		reply, err := conn.Call(ctx, &r)
		if err == nil {
			return Reply{Message: Frame{buffers: reply.Message}, Header: reply.Header, Trailer: reply.Trailer}, nil
		}
		switch {
		case err == transport.ErrFull:
			continue // somebody was faster
		case errors.Is(err, transport.ErrUnsent):
			g.conn.lost(conn)
			continue
		case errors.Is(err, transport.ErrUnprocessed) && !sent:
			sent = true
			continue
		}
		return Reply{Header: reply.Header, Trailer: reply.Trailer}, g.failed(err)
	}
}

// Open implements Backend. As with Call, a stream that the backend has not seen
// goes to another connection, once.
func (g *GRPC) Open(ctx context.Context, method string, header Metadata, _ Shape) (Stream, error) {
	s := &grpcStream{backend: g, ctx: ctx, again: true}
	s.request = transport.Request{Method: method, Header: header, Limit: g.limit}
	stream, err := s.open()
	if err != nil {
		return nil, err
	}
	s.stream = stream
	return s, nil
}

// failed makes the relay's error of the transport's.
func (g *GRPC) failed(err error) error {
	var large *transport.TooLargeError
	if errors.As(err, &large) {
		return &LargeMessageError{Limit: g.limit}
	}
	return err
}
