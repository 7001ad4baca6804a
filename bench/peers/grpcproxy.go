package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// serveGRPCProxy is the usual transparent gRPC proxy: UnknownServiceHandler
// and a codec that decodes nothing.
func serveGRPCProxy(ctx context.Context, listener net.Listener, backends Backends) error {
	conn, err := grpc.NewClient(backends.GRPC,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(raw{}),
		grpc.UnknownServiceHandler(func(_ any, down grpc.ServerStream) error { return forward(conn, down) }))
	release := context.AfterFunc(ctx, server.Stop)
	defer release()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

// forward carries one call. It cannot know whether the call is unary, so it
// reads both sides at once.
func forward(conn *grpc.ClientConn, down grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(down)
	if !ok {
		return status.Error(codes.Internal, "the call has no method")
	}
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md.Copy())
	}
	up, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- copyUp(up, down) }()
	err = copyDown(down, up)
	if err == nil {
		return nil
	}
	// A broken client breaks both ways; its own error says why.
	select {
	case e := <-sent:
		if e != nil {
			return e
		}
	default:
	}
	return err
}

func copyUp(up grpc.ClientStream, down grpc.ServerStream) error {
	for {
		var frame mem.BufferSlice
		if err := down.RecvMsg(&frame); err != nil {
			if errors.Is(err, io.EOF) {
				return up.CloseSend()
			}
			return err
		}
		if err := up.SendMsg(&frame); err != nil {
			if errors.Is(err, io.EOF) {
				return nil // The reader learns why.
			}
			return err
		}
	}
}

func copyDown(down grpc.ServerStream, up grpc.ClientStream) error {
	for first := true; ; first = false {
		var frame mem.BufferSlice
		err := up.RecvMsg(&frame)
		if first {
			if md, e := up.Header(); e == nil {
				if e := down.SetHeader(md); e != nil {
					return e
				}
			}
		}
		if err != nil {
			down.SetTrailer(up.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := down.SendMsg(&frame); err != nil {
			return err
		}
	}
}

// raw passes the bytes of messages through. It bears the name of the usual
// codec, which is what the content type is made of.
type raw struct{}

// Interface guard.
var _ encoding.CodecV2 = raw{}

// Name returns "proto".
func (raw) Name() string { return "proto" }

// Marshal hands over the frame in v, a *mem.BufferSlice.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	frame, ok := v.(*mem.BufferSlice)
	if !ok {
		return nil, fmt.Errorf("got a %T, expected a *mem.BufferSlice", v)
	}
	return *frame, nil
}

// Unmarshal keeps the frame in v, a *mem.BufferSlice.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	frame, ok := v.(*mem.BufferSlice)
	if !ok {
		return fmt.Errorf("got a %T, expected a *mem.BufferSlice", v)
	}
	data.Ref()
	*frame = data
	return nil
}
