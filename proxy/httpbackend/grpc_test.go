package httpbackend_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// grpcServer is a server whose methods answer what they get.
type grpcServer struct {
	testpb.UnimplementedTestServiceServer
}

func (grpcServer) UnaryCall(ctx context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-end", "yes"))
	if code := r.GetResponseStatus().GetCode(); code != 0 {
		return nil, status.Error(codes.Code(code), r.GetResponseStatus().GetMessage()) //nolint:gosec // of the test
	}
	return &testpb.SimpleResponse{Payload: r.GetPayload()}, nil
}

func (grpcServer) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if code := r.GetResponseStatus().GetCode(); code != 0 {
			return status.Error(codes.Code(code), "early") //nolint:gosec // as above
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: r.GetPayload()}); err != nil {
			return err
		}
	}
}

// TestGRPC passes gRPC through to a server of HTTP/2, without its schema: trailers, a
// status without an answer, streams both ways, and an end before the client's (Traffic
// 152, Semantics 54).
func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	testpb.RegisterTestServiceServer(server, grpcServer{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		<-served //nolint:errcheck // it says that it was closed
	})
	g := newRig(t, l.Addr().String(), httpbackend.Options{Protocol: httpbackend.H2C})
	conn, err := grpc.NewClient("passthrough:///"+g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := testpb.NewTestServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	for _, size := range []int{0, 10, 3 << 20} {
		var trailer metadata.MD
		got, err := client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, size)}}, grpc.Trailer(&trailer))
		if err != nil || len(got.GetPayload().GetBody()) != size || trailer.Get("x-end") == nil {
			t.Errorf("%d bytes: %v, %v", size, err, trailer)
		}
	}
	_, err = client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: &testpb.EchoStatus{Code: 5002, Message: "näh"}})
	if status.Code(err) != 5002 || status.Convert(err).Message() != "näh" {
		t.Errorf("%v", err)
	}
	if _, err = client.EmptyCall(ctx, &testpb.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v", err)
	}
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one", "two", strings.Repeat("x", 100_000)} {
		if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: []byte(word)}}); err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || string(got.GetPayload().GetBody()) != word {
			t.Fatalf("%v", err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("the stream ends with %v", err)
	}
	early, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := early.Send(&testpb.StreamingOutputCallRequest{ResponseStatus: &testpb.EchoStatus{Code: 9}}); err != nil {
		t.Fatal(err)
	}
	if _, err := early.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a stream that ends early: %v", err)
	}
}
