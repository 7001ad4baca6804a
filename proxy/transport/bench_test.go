package transport_test

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/proxy/transport"
)

// echo answers at once.
type echo struct {
	testpb.UnimplementedTestServiceServer
}

func (echo) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

func (echo) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	for {
		if _, err := stream.Recv(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}

func connectEcho(b *testing.B) *transport.Conn {
	b.Helper()
	server := grpc.NewServer()
	testpb.RegisterTestServiceServer(server, echo{})
	return connect(b, grpctest.Serve(b, server))
}

// BenchmarkCall makes unary calls one after the other, and many at once. Allocations are
// of both sides; the server's do not change.
func BenchmarkCall(b *testing.B) {
	unary := func(b *testing.B, conn *transport.Conn) {
		reply, err := conn.Call(context.Background(), &transport.Request{Method: "/grpc.testing.TestService/EmptyCall", Limit: testLimit})
		if err != nil {
			b.Error(err)
		}
		reply.Message.Free()
	}
	b.Run("serial", func(b *testing.B) {
		conn := connectEcho(b)
		b.ReportAllocs()
		for b.Loop() {
			unary(b, conn)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		conn := connectEcho(b)
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				unary(b, conn)
			}
		})
	})
}

// BenchmarkStream sends messages back and forth on one stream.
func BenchmarkStream(b *testing.B) {
	conn := connectEcho(b)
	stream, err := conn.Open(b.Context(), &transport.Request{Method: "/grpc.testing.TestService/FullDuplexCall", Limit: testLimit})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := stream.Send(nil); err != nil {
			b.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			b.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		b.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		b.Fatal(err)
	}
}
