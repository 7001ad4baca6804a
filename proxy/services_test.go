package proxy

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const testService = "/grpc.testing.TestService/"

// talker is gRPC's test service with what the tests below need.
type talker struct {
	testpb.UnimplementedTestServiceServer
}

func (talker) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

// UnaryCall ends as it is told.
func (talker) UnaryCall(_ context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	told := r.GetResponseStatus()
	return nil, status.Error(codes.Code(told.GetCode()), told.GetMessage()) //nolint:gosec // the tests' codes are not negative
}

func (talker) StreamingOutputCall(r *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
	for range r.GetResponseParameters() {
		if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
	return nil
}

func (talker) StreamingInputCall(stream testpb.TestService_StreamingInputCallServer) error {
	for {
		switch _, err := stream.Recv(); err {
		case nil:
		case io.EOF:
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{})
		default:
			return err
		}
	}
}

// FullDuplexCall sends metadata and one message, then waits for its client to go
// away.
func (talker) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	if err := stream.SetHeader(metadata.Pairs("a", "1")); err != nil {
		return err
	}
	if err := stream.SendHeader(metadata.Pairs("b", "2")); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("c", "3"))
	if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// HalfDuplexCall ends at once, without a word.
func (talker) HalfDuplexCall(testpb.TestService_HalfDuplexCallServer) error {
	return status.Error(codes.FailedPrecondition, "not now")
}

func newServices() *Services {
	s := &Services{}
	testpb.RegisterTestServiceServer(s, talker{})
	return s
}

func TestServicesCall(t *testing.T) {
	s := newServices()
	frame := func(text string) Frame { return NewFrame([]byte(text)) }
	for _, test := range []struct {
		name, method string
		request      Frame
		code         codes.Code
	}{
		{"a call", testService + "EmptyCall", Frame{}, codes.OK},
		{"a malformed message", testService + "EmptyCall", frame("\xff"), codes.InvalidArgument},
		{"no such method", testService + "No", Frame{}, codes.Unimplemented},
		{"a stream's method", testService + "FullDuplexCall", Frame{}, codes.Unimplemented},
		{"a status", testService + "UnaryCall", frame("\x3a\x06\x08\x05\x12\x02no"), codes.NotFound}, // response_status { code: 5 message: "no" }
	} {
		t.Run(test.name, func(t *testing.T) {
			reply, err := s.Call(t.Context(), test.method, nil, test.request)
			reply.Message.Free()
			if status.Code(err) != test.code {
				t.Errorf("got %v, want %v", err, test.code)
			}
		})
	}
}

// TestServicesByTheRelay has the relay carry all shapes.
func TestServicesByTheRelay(t *testing.T) {
	s := newServices()
	unary, server, client := Shape{}, Shape{ServerStreams: true}, Shape{ClientStreams: true}
	both := Shape{ClientStreams: true, ServerStreams: true}
	for _, test := range []struct {
		name, method string
		shape        Shape
		client       *fakeClient
		code         codes.Code
		up, down     int
	}{
		{"unary", "EmptyCall", unary, newFakeClient("").done(), codes.OK, 1, 1},
		{"server stream", "StreamingOutputCall", server, newFakeClient("\x12\x02\x08\x01\x12\x02\x08\x02").done(), codes.OK, 1, 2},
		{"client stream", "StreamingInputCall", client, newFakeClient("", "").done(), codes.OK, 2, 1},
		{"a malformed message", "StreamingInputCall", client, newFakeClient("\xff").done(), codes.InvalidArgument, 1, 0},
		{"Semantics 54: an end at once", "HalfDuplexCall", both, newFakeClient(), codes.FailedPrecondition, 0, 0},
		{"no such stream", "No", both, newFakeClient(), codes.Unimplemented, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := relay(t, t.Context(), &Call{Downstream: test.client, Backend: s, Method: testService + test.method, Shape: test.shape})
			if status.Code(r.Err) != test.code || r.RequestMessages != test.up || r.ResponseMessages != test.down {
				t.Errorf("%v, %d messages up, %d down; want %v, %d, %d", r.Err, r.RequestMessages, r.ResponseMessages, test.code, test.up, test.down)
			}
		})
	}
}

func TestServicesMetadata(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := newServices().Open(ctx, testService+"FullDuplexCall", nil, Shape{ClientStreams: true, ServerStreams: true})
	if err != nil {
		t.Fatal(err)
	}
	header, err := stream.Header()
	if err != nil || header.Get("a")[0] != "1" || header.Get("b")[0] != "2" {
		t.Errorf("header %v, %v", header, err)
	}
	f, err := stream.Recv()
	f.Free()
	if err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	if got := stream.Trailer().Get("c"); len(got) != 1 {
		t.Errorf("trailer %v", stream.Trailer())
	}
	if err := stream.Send(Frame{}); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
	for range 2 {
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	}
}
