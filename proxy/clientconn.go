package proxy

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// maxOwnMessage bounds a message of calls that the gateway makes of itself, in
// bytes.
const maxOwnMessage = 64 << 20

var _ grpc.ClientConnInterface = (*Conn)(nil)

// Invoke makes a unary call of the gateway's own, for generated clients. Of the
// options, Header and Trailer are heard.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	request, err := marshal(args)
	if err != nil {
		return err
	}
	answer, err := NewGRPC(c, maxOwnMessage).Call(ctx, method, ownMetadata(ctx), request)
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
	return unmarshal(answer.Message.Bytes(), reply)
}

// NewStream opens a stream of the gateway's own, for generated clients. The
// options are not heard.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	shape := Shape{ClientStreams: desc.ClientStreams, ServerStreams: desc.ServerStreams}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := NewGRPC(c, maxOwnMessage).Open(ctx, method, ownMetadata(ctx), shape)
	if err != nil {
		cancel()
		return nil, err
	}
	return &ownStream{Stream: stream, ctx: ctx, cancel: cancel, shape: shape}, nil
}

// ownMetadata is what a generated client's caller put into the context.
func ownMetadata(ctx context.Context) Metadata {
	md, _ := metadata.FromOutgoingContext(ctx)
	var m Metadata
	for name, values := range md {
		for _, v := range values {
			m.Add(name, v)
		}
	}
	return m
}

func marshal(v any) (Frame, error) {
	message, ok := v.(proto.Message)
	if !ok {
		return Frame{}, fmt.Errorf("cannot send a %T, want a protobuf message", v)
	}
	wire, err := proto.Marshal(message)
	return WrapFrame(wire), err
}

func unmarshal(wire []byte, v any) error {
	message, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("cannot receive into a %T, want a protobuf message", v)
	}
	if err := proto.Unmarshal(wire, message); err != nil {
		return status.Errorf(codes.Internal, "the backend's message is malformed: %v", err)
	}
	return nil
}

// ownStream is a Stream for generated clients.
type ownStream struct {
	Stream
	ctx    context.Context
	cancel context.CancelFunc
	shape  Shape
}

var _ grpc.ClientStream = (*ownStream)(nil)

func (s *ownStream) Context() context.Context { return s.ctx }

func (s *ownStream) SendMsg(m any) error {
	frame, err := marshal(m)
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
	if err := unmarshal(frame.Bytes(), m); err != nil || s.shape.ServerStreams {
		return err
	}
	second, err := s.Recv() // an answer without status OK is none
	switch err {
	case io.EOF:
		return nil
	case nil:
		second.Free()
		return errManyAnswers
	}
	return err
}
