package envelope_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// How streams of each protocol end when something goes wrong on the way.

func TestStreamsEndWithTheClient(t *testing.T) {
	e := newEdge(t)
	for _, c := range connectCases() {
		t.Run("Semantics 40: "+c.name, func(t *testing.T) {
			client := connectClient{http: httpClient(t, c.http2), url: e.url, options: c.options}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			request := connect.NewRequest(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(1)})
			request.Header().Set("X-Case", "block")
			stream, err := newConnect[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse](client, "StreamingOutputCall").CallServerStream(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}
			cancel()
			receive(t, e.backend.cancelled)
			_ = stream.Close()
		})
	}
}

func TestStreamsEndWithTheDeadline(t *testing.T) {
	e := newEdge(t)
	for _, c := range connectCases() {
		t.Run("Semantics 32: "+c.name, func(t *testing.T) {
			client := connectClient{http: httpClient(t, c.http2), url: e.url, options: c.options}
			e.backend.untilReached(t, func(timeout time.Duration) {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				request := connect.NewRequest(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(1)})
				request.Header().Set("X-Case", "block")
				stream, err := newConnect[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse](client, "StreamingOutputCall").CallServerStream(ctx, request)
				for err == nil && stream.Receive() {
					continue
				}
				if err == nil {
					err = stream.Err()
					_ = stream.Close()
				}
				if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
					t.Errorf("got %v, want deadline_exceeded", err)
				}
			})
			receive(t, e.backend.cancelled)
		})
	}
}

func TestStreamsEndWithTheirBackend(t *testing.T) {
	e := newEdge(t)
	for _, c := range connectCases() {
		t.Run(c.name, func(t *testing.T) {
			b, address := startBackend(t)
			e.connect(t, address)
			client := connectClient{http: httpClient(t, c.http2), url: e.url, options: c.options}
			request := connect.NewRequest(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(1)})
			request.Header().Set("X-Case", "block")
			stream, err := newConnect[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse](client, "StreamingOutputCall").CallServerStream(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}
			b.stop()
			if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
				t.Errorf("got %v, want unavailable", stream.Err())
			}
			_ = stream.Close()
		})
	}
}

// A message too large, after good ones, ends the call with its own reason.
func TestStreamsEndWithALargeMessage(t *testing.T) {
	e := newEdge(t)
	t.Run("gRPC", func(t *testing.T) {
		stream, err := testpb.NewTestServiceClient(dial(t, e.address)).FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(1)}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload(testMaxMessage)}) // Recv has the reason
		if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("got %v, want RESOURCE_EXHAUSTED", err)
		}
	})
	t.Run("Connect", func(t *testing.T) {
		client := connectClient{http: httpClient(t, true), url: e.url}
		stream := newConnect[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse](client, "FullDuplexCall").CallBidiStream(t.Context())
		if err := stream.Send(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(1)}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Receive(); err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload(testMaxMessage)}) // Receive has the reason
		if _, err := stream.Receive(); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("got %v, want resource_exhausted", err)
		}
		_ = stream.CloseRequest()
		_ = stream.CloseResponse()
	})
}
