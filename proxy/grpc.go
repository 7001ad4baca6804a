package proxy

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/metadata"

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
	for sent := false; ; {
		conn, err := g.conn.pick(ctx)
		if err != nil {
			return Reply{}, err
		}
		reply, err := conn.Call(ctx, &r)
		if err == nil {
			return Reply{Message: Frame{buffers: reply.Message}, Header: reply.Header, Trailer: reply.Trailer}, nil
		}
		switch {
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
// goes to another connection, where its client sends one message only.
func (g *GRPC) Open(ctx context.Context, method string, header Metadata, shape Shape) (Stream, error) {
	s := &grpcStream{backend: g, ctx: ctx, again: !shape.ClientStreams}
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
		return &LargeMessageError{Limit: g.limit}
	}
	return err
}

// grpcStream is a Stream of a GRPC.
type grpcStream struct {
	backend *GRPC
	ctx     context.Context
	request transport.Request
	stream  *transport.Stream
	again   bool  // it can go to another connection: nothing came yet
	only    Frame // the message of a client that sends one, while again is set
}

func (s *grpcStream) open() error {
	for {
		conn, err := s.backend.conn.pick(s.ctx)
		if err != nil {
			return err
		}
		stream, err := conn.Open(s.ctx, &s.request)
		if errors.Is(err, transport.ErrUnsent) {
			s.backend.conn.lost(conn)
			continue
		}
		if err == nil {
			s.stream = stream
		}
		return err
	}
}

// Send implements Stream.
func (s *grpcStream) Send(f Frame) error {
	if s.again {
		s.only = f.Ref()
	}
	err := s.stream.Send(f.buffers)
	f.Free()
	return err
}

// CloseSend implements Stream.
func (s *grpcStream) CloseSend() error { return s.stream.CloseSend() }

// Recv implements Stream.
func (s *grpcStream) Recv() (Frame, error) {
	message, err := s.stream.Recv()
	if s.retry(err) {
		message, err = s.stream.Recv()
	}
	if err != nil && err != io.EOF {
		err = s.backend.failed(err)
	}
	return Frame{buffers: message}, err
}

// Header implements Stream.
func (s *grpcStream) Header() (metadata.MD, error) {
	header, err := s.stream.Header()
	if s.retry(err) {
		header, err = s.stream.Header()
	}
	return header, err
}

// retry looks at the first that came, and opens the stream again where that is
// word that the backend has not seen it.
func (s *grpcStream) retry(err error) bool {
	if !s.again {
		return false
	}
	s.again = false
	defer s.only.Free()
	if !errors.Is(err, transport.ErrUnprocessed) || s.open() != nil {
		return false
	}
	if s.stream.Send(s.only.buffers) == nil {
		_ = s.stream.CloseSend() // Recv has the reason of a failure
	}
	return true
}

// Trailer implements Stream.
func (s *grpcStream) Trailer() metadata.MD { return s.stream.Trailer() }
