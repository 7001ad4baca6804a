package attempt

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// MaxOwnMessage bounds a message of calls that the gateway makes of itself, in
// bytes.
const MaxOwnMessage = 64 << 20

// Client makes calls of the gateway's own through generated clients.
type Client struct {
	Connection
	backend proxy.Backend
}

// Connection is what a client knows of the connection to its backend.
type Connection interface {
	// State is one of gRPC's.
	State() connectivity.State
	// StateChanged waits until something about the connection changes, and reports
	// whether it did before ctx ended.
	StateChanged(ctx context.Context) bool
	// Advice is what to set where the backend cannot be reached; "" for nothing.
	Advice() string
}

var (
	_ grpc.ClientConnInterface = Client{}
	_ Connection               = (*upstream.Conn)(nil)
)

// NewClient makes a client of a connection, which must outlive it.
func NewClient(conn *upstream.Conn) Client {
	return NewClientOf(conn, NewGRPC(conn, MaxOwnMessage))
}

// NewClientOf makes a client of any backend and what is known of its connection.
func NewClientOf(conn Connection, backend proxy.Backend) Client { return Client{conn, backend} }

// Invoke makes a unary call of the gateway's own, for generated clients. Of the
// options, Header and Trailer are heard.
func (c Client) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	request, err := proxy.Marshal(args)
	if err != nil {
		return err
	}
	answer, err := c.backend.Call(ctx, method, ownMetadata(ctx), request)
	defer answer.Message.Free()
	for _, option := range options {
		switch option := option.(type) {
		case grpc.HeaderCallOption:
			*option.HeaderAddr = answer.Header
		case grpc.TrailerCallOption:
			*option.TrailerAddr = answer.Trailer
		}
	}
	if err != nil {
		return err
	}
	return proxy.Unmarshal(answer.Message.Bytes(), reply)
}

// NewStream opens a stream of the gateway's own, for generated clients. The
// options are not heard.
func (c Client) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	shape := proxy.Shape{ClientStreams: desc.ClientStreams, ServerStreams: desc.ServerStreams}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.backend.Open(ctx, method, ownMetadata(ctx), shape)
	if err != nil {
		cancel()
		return nil, err
	}
	return &ownStream{Stream: stream, ctx: ctx, cancel: cancel, shape: shape}, nil
}

// ownMetadata is what a generated client's caller put into the context.
func ownMetadata(ctx context.Context) proxy.Metadata {
	md, _ := metadata.FromOutgoingContext(ctx)
	var m proxy.Metadata
	for name, values := range md {
		for _, v := range values {
			m.Add(name, v)
		}
	}
	return m
}

// ownStream is a proxy.Stream for generated clients.
type ownStream struct {
	proxy.Stream
	ctx    context.Context
	cancel context.CancelFunc
	shape  proxy.Shape
}

var _ grpc.ClientStream = (*ownStream)(nil)

func (s *ownStream) Context() context.Context { return s.ctx }

func (s *ownStream) SendMsg(m any) error {
	frame, err := proxy.Marshal(m)
	if err != nil {
		return err
	}
	if err = s.Send(frame); err == io.EOF && !s.shape.ClientStreams {
		return nil // the status is RecvMsg's to tell, after what came before it
	}
	return err
}

func (s *ownStream) RecvMsg(m any) error {
	err := s.receive(m)
	if err != nil || !s.shape.ServerStreams {
		s.cancel() // generated clients ask no further
	}
	return err
}

func (s *ownStream) receive(m any) error {
	frame, err := s.Recv()
	if err != nil {
		return err
	}
	defer frame.Free()
	if err := proxy.Unmarshal(frame.Bytes(), m); err != nil || s.shape.ServerStreams {
		return err
	}
	second, err := s.Recv() // an answer without status OK is none
	switch err {
	case io.EOF:
		return nil
	case nil:
		second.Free()
		return transport.ErrManyAnswers
	}
	return err
}
