package proxy

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// GRPC is a Backend on a stock grpc-go connection.
type GRPC struct {
	conn    grpc.ClientConnInterface
	options []grpc.CallOption
	limit   int // of one message of the backend, in bytes
}

var _ Backend = (*GRPC)(nil)

// NewGRPC makes a backend of a connection. maxMessage bounds one message of
// the backend in bytes, before it is read.
func NewGRPC(conn grpc.ClientConnInterface, maxMessage int) *GRPC {
	return &GRPC{conn: conn, limit: maxMessage, options: []grpc.CallOption{
		grpc.ForceCodecV2(passthrough{}),
		grpc.MaxCallRecvMsgSize(maxMessage),
	}}
}

// Call implements Backend.
func (g *GRPC) Call(ctx context.Context, method string, header Metadata, request Frame) (Reply, error) {
	// One allocation for everything that grpc-go wants a pointer to.
	var state struct {
		request Frame
		reply   Reply
		options [4]grpc.CallOption
	}
	state.request = request
	state.options = [4]grpc.CallOption{
		g.options[0], g.options[1],
		grpc.HeaderCallOption{HeaderAddr: &state.reply.Header},
		grpc.TrailerCallOption{TrailerAddr: &state.reply.Trailer},
	}
	err := g.conn.Invoke(outgoing(ctx, header), method, &state.request, &state.reply.Message, state.options[:]...)
	state.request.Free()
	reply := state.reply
	delete(reply.Trailer, "content-type") // a trailers-only answer carries it
	delete(reply.Header, "content-type")
	if err != nil {
		reply.Message.Free()
		return reply, g.failed(err, len(reply.Header)+len(reply.Trailer) > 0)
	}
	return reply, nil
}

// Open implements Backend.
func (g *GRPC) Open(ctx context.Context, method string, header Metadata, shape Shape) (Stream, error) {
	desc := &grpc.StreamDesc{ClientStreams: shape.ClientStreams, ServerStreams: shape.ServerStreams}
	stream, err := g.conn.NewStream(outgoing(ctx, header), desc, method, g.options...)
	if err != nil {
		return nil, g.failed(err, false)
	}
	return &grpcStream{backend: g, stream: stream}, nil
}

func outgoing(ctx context.Context, header Metadata) context.Context {
	if len(header) == 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, header...)
}

// grpcStream is a Stream on a stock grpc-go stream.
type grpcStream struct {
	backend *GRPC
	stream  grpc.ClientStream
	spoke   bool // the backend sent something of its own
}

func (s *grpcStream) Send(f Frame) error {
	err := s.stream.SendMsg(&f)
	f.Free()
	return err
}

func (s *grpcStream) CloseSend() error { return s.stream.CloseSend() }

func (s *grpcStream) Recv() (Frame, error) {
	var f Frame
	if err := s.stream.RecvMsg(&f); err != nil {
		f.Free()
		return Frame{}, s.failed(err)
	}
	return f, nil
}

func (s *grpcStream) Header() (metadata.MD, error) {
	header, err := s.stream.Header()
	if err != nil {
		return nil, s.failed(err)
	}
	s.spoke = s.spoke || len(header) > 0
	delete(header, "content-type")
	return header, nil
}

func (s *grpcStream) Trailer() metadata.MD {
	trailer := s.stream.Trailer()
	delete(trailer, "content-type")
	return trailer
}
