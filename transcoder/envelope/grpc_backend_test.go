package envelope_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// backend is a real grpc-go server of grpc's own TestService. What it does
// beside answering is told to it by the metadata of the call:
//
//	echo-*      comes back as response metadata
//	trail-*     comes back as trailing metadata
//	x-case      one of the cases below
type backend struct {
	testpb.UnimplementedTestServiceServer
	// cancelled gets a value when a call with the case "block" was cancelled.
	cancelled chan struct{}
	calls     atomic.Int32
	// stop ends the server and all its calls.
	stop func()
}

func startBackend(t testing.TB) (*backend, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{cancelled: make(chan struct{}, 16)}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	testpb.RegisterTestServiceServer(server, b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	b.stop = func() {
		server.Stop()
		<-done
	}
	t.Cleanup(b.stop)
	return b, listener.Addr().String()
}

// begin echoes metadata and returns the case.
func (b *backend) begin(ctx context.Context) string {
	b.calls.Add(1)
	md, _ := metadata.FromIncomingContext(ctx)
	header, trailer := metadata.MD{}, metadata.MD{}
	for name, values := range md {
		switch {
		case strings.HasPrefix(name, "echo-"):
			header[name] = values
		case strings.HasPrefix(name, "trail-"):
			trailer[name] = values
		}
	}
	if len(header) > 0 {
		_ = grpc.SetHeader(ctx, header)
	}
	if len(trailer) > 0 {
		_ = grpc.SetTrailer(ctx, trailer)
	}
	return strings.Join(md["x-case"], "")
}

// untilReached makes a call with a timeout, and with a longer one as long as the
// time of a busy machine passes before the backend hears of the call.
func (b *backend) untilReached(t *testing.T, call func(timeout time.Duration)) {
	t.Helper()
	before := b.calls.Load()
	for timeout := 50 * time.Millisecond; timeout < time.Minute; timeout *= 4 {
		if call(timeout); b.calls.Load() > before {
			return
		}
	}
	t.Fatal("no call reaches the backend within its time")
}

// failure is the error of the cases that end with one.
func failure(name string) error {
	switch name {
	case "fail":
		return status.Error(codes.FailedPrecondition, "not now: 100 % of «shelves»\nare full")
	case "fail-5002":
		return status.Error(codes.Code(5002), "a code of OpenFGA's")
	case "fail-details":
		st, err := status.New(codes.InvalidArgument, "a field is wrong").WithDetails(
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "name", Description: "empty"}}},
			&errdetails.ErrorInfo{Reason: "EMPTY", Domain: "example.com"},
		)
		if err != nil {
			return err
		}
		return st.Err()
	case "fail-unauthenticated":
		return status.Error(codes.Unauthenticated, "who are you?")
	}
	return nil
}

func payload(size int32) *testpb.Payload {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte('a' + i%26)
	}
	return &testpb.Payload{Body: body}
}

func (b *backend) EmptyCall(ctx context.Context, _ *testpb.Empty) (*testpb.Empty, error) {
	name := b.begin(ctx)
	return &testpb.Empty{}, failure(name)
}

func (b *backend) UnaryCall(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	name := b.begin(ctx)
	if name == "block" {
		<-ctx.Done()
		b.cancelled <- struct{}{}
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if err := failure(name); err != nil {
		return nil, err
	}
	out := &testpb.SimpleResponse{Payload: payload(in.GetResponseSize())}
	if in.GetFillUsername() {
		out.Username = string(in.GetPayload().GetBody())
	}
	return out, nil
}

func (b *backend) CacheableUnaryCall(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return b.UnaryCall(ctx, in)
}

func (b *backend) StreamingOutputCall(in *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
	name := b.begin(stream.Context())
	for _, p := range in.GetResponseParameters() {
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: payload(p.GetSize())}); err != nil {
			return err
		}
	}
	if name == "block" {
		<-stream.Context().Done()
		b.cancelled <- struct{}{}
		return status.FromContextError(stream.Context().Err()).Err()
	}
	return failure(name)
}

func (b *backend) StreamingInputCall(stream testpb.TestService_StreamingInputCallServer) error {
	name := b.begin(stream.Context())
	if name == "early" {
		return stream.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: -1})
	}
	if err := failure(name); err != nil {
		return err
	}
	var size int32
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: size})
		}
		if err != nil {
			return err
		}
		size += int32(len(in.GetPayload().GetBody()))
	}
}

func (b *backend) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	name := b.begin(stream.Context())
	switch name {
	case "header-first":
		if err := stream.SendHeader(nil); err != nil {
			return err
		}
	case "fail":
		return failure(name) // at once, whatever the client still sends
	}
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return failure(strings.TrimPrefix(name, "end-"))
		}
		if err != nil {
			if name == "block" {
				b.cancelled <- struct{}{}
			}
			return err
		}
		for _, p := range in.GetResponseParameters() {
			if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: payload(p.GetSize())}); err != nil {
				return err
			}
		}
	}
}
