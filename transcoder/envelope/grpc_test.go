package envelope_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// seen is all that a gRPC client sees of a call.
type seen struct {
	Messages        []int // sizes
	Code            codes.Code
	Message         string
	Details         string
	Header, Trailer metadata.MD
}

func (s *seen) end(err error) {
	st := status.Convert(err)
	s.Code, s.Message = st.Code(), st.Message()
	text, _ := protojson.Marshal(st.Proto())
	s.Details = strings.ReplaceAll(string(text), " ", "")
	if len(st.Proto().GetDetails()) == 0 {
		s.Details = ""
	}
	delete(s.Header, "x-policy")
	delete(s.Trailer, "x-policy")
}

func sizes(n ...int32) []*testpb.ResponseParameters {
	var out []*testpb.ResponseParameters
	for _, size := range n {
		out = append(out, &testpb.ResponseParameters{Size: size})
	}
	return out
}

// shapes run one call of each shape, as a client of the target.
var shapes = map[string]func(context.Context, testpb.TestServiceClient, ...grpc.CallOption) seen{
	"unary":         unaryShape,
	"server stream": serverShape,
	"client stream": clientShape,
	"bidi":          bidiShape,
}

func unaryShape(ctx context.Context, c testpb.TestServiceClient, o ...grpc.CallOption) (s seen) {
	o = append(o, grpc.Header(&s.Header), grpc.Trailer(&s.Trailer))
	out, err := c.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 5000, Payload: payload(3000), FillUsername: true}, o...)
	if err == nil {
		s.Messages = append(s.Messages, len(out.GetPayload().GetBody())+len(out.GetUsername()))
	}
	s.end(err)
	return s
}

func serverShape(ctx context.Context, c testpb.TestServiceClient, o ...grpc.CallOption) (s seen) {
	stream, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{ResponseParameters: sizes(0, 10, 100_000)}, o...)
	if err != nil {
		s.end(err)
		return s
	}
	for err == nil {
		var out *testpb.StreamingOutputCallResponse
		if out, err = stream.Recv(); err == nil {
			s.Messages = append(s.Messages, len(out.GetPayload().GetBody()))
		}
	}
	s.Header, _ = stream.Header()
	s.Trailer = stream.Trailer()
	s.end(ended(err))
	return s
}

func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func clientShape(ctx context.Context, c testpb.TestServiceClient, o ...grpc.CallOption) (s seen) {
	stream, err := c.StreamingInputCall(ctx, o...)
	if err != nil {
		s.end(err)
		return s
	}
	for _, size := range []int32{0, 10, 70_000} {
		if stream.Send(&testpb.StreamingInputCallRequest{Payload: payload(size)}) != nil {
			break
		}
	}
	out, err := stream.CloseAndRecv()
	if err == nil {
		s.Messages = append(s.Messages, int(out.GetAggregatedPayloadSize()))
	}
	s.Header, _ = stream.Header()
	s.Trailer = stream.Trailer()
	s.end(err)
	return s
}

func bidiShape(ctx context.Context, c testpb.TestServiceClient, o ...grpc.CallOption) (s seen) {
	stream, err := c.FullDuplexCall(ctx, o...)
	if err != nil {
		s.end(err)
		return s
	}
	for _, size := range []int32{1, 20_000, 3} { // one by one: it is full duplex
		if err = stream.Send(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(size, size)}); err != nil {
			break
		}
		for range 2 {
			var out *testpb.StreamingOutputCallResponse
			if out, err = stream.Recv(); err != nil {
				break
			}
			s.Messages = append(s.Messages, len(out.GetPayload().GetBody()))
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		_ = stream.CloseSend()
	}
	if err == nil || err == io.EOF {
		_, err = stream.Recv()
	}
	s.Header, _ = stream.Header()
	s.Trailer = stream.Trailer()
	s.end(ended(err))
	return s
}

// What a client sees through the gateway is what it sees without.
func TestGRPCIsTransparent(t *testing.T) {
	e := newEdge(t)
	direct := testpb.NewTestServiceClient(dial(t, e.direct))
	through := testpb.NewTestServiceClient(dial(t, e.address))
	gzipped := grpc.UseCompressor(gzip.Name)
	for _, test := range []struct {
		name    string
		md      metadata.MD
		options []grpc.CallOption
	}{
		{"Semantics 43: one path for all four shapes", nil, nil},
		{"gzip", nil, []grpc.CallOption{gzipped}},
		{"Semantics 31: metadata both ways", metadata.Pairs("echo-a", "1", "echo-a", "2", "echo-b-bin", "\x00\xff", "trail-c", "3", "trail-d-bin", "\x80"), nil},
		{"Semantics 27: trailers only", metadata.Pairs("x-case", "fail", "trail-a", "1"), nil},
		{"an error after metadata", metadata.Pairs("x-case", "fail", "echo-a", "1", "trail-a", "1"), nil},
		{"Semantics 27: details", metadata.Pairs("x-case", "fail-details"), nil},
		{"Semantics 55: codes above 16", metadata.Pairs("x-case", "fail-5002"), nil},
		{"Semantics 54: early answer", metadata.Pairs("x-case", "early"), nil},
		{"an error at the end", metadata.Pairs("x-case", "end-fail-details", "echo-a", "1"), []grpc.CallOption{gzipped}},
		{"the header ahead of all messages", metadata.Pairs("x-case", "header-first", "echo-a", "1"), nil},
	} {
		for shape, run := range shapes {
			t.Run(test.name+"/"+shape, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), test.md), 20*time.Second)
				defer cancel()
				want, got := run(ctx, direct, test.options...), run(ctx, through, test.options...)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("direct (-) and through the gateway (+):\n%s", d)
				}
				if strings.HasPrefix(test.name, "Semantics 43") && got.Code != codes.OK {
					t.Errorf("got %v %s", got.Code, got.Message)
				}
			})
		}
	}
}

func TestGRPCCancellation(t *testing.T) {
	e := newEdge(t)
	client := testpb.NewTestServiceClient(dial(t, e.address))
	block := metadata.Pairs("x-case", "block")
	t.Run("Semantics 40: a client that goes away cancels the unary call", func(t *testing.T) {
		ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(t.Context(), block))
		done := make(chan error)
		before := e.backend.calls.Load()
		go func() {
			_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{})
			done <- err
		}()
		poll.Until(t, "the call to reach the backend", func() bool { return e.backend.calls.Load() > before })
		cancel()
		if err := <-done; status.Code(err) != codes.Canceled {
			t.Errorf("got %v, want CANCELED", err)
		}
		receive(t, e.backend.cancelled)
	})
	t.Run("Semantics 40: and the stream", func(t *testing.T) {
		ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(t.Context(), block))
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(1)}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		cancel()
		receive(t, e.backend.cancelled)
	})
	t.Run("Semantics 32: the client's deadline", func(t *testing.T) {
		e.backend.untilReached(t, func(timeout time.Duration) {
			ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), block), timeout)
			defer cancel()
			_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{})
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("got %v, want DEADLINE_EXCEEDED", err)
			}
		})
		receive(t, e.backend.cancelled)
	})
}

// A bidi stream that the backend ends at once, while the client keeps sending.
func TestGRPCEarlyEnd(t *testing.T) {
	e := newEdge(t)
	client := testpb.NewTestServiceClient(dial(t, e.address))
	t.Run("Semantics 54: an error at once", func(t *testing.T) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-case", "fail")
		for range 50 {
			stream, err := client.FullDuplexCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				err = stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload(1000)})
			}
			if !errors.Is(err, io.EOF) {
				t.Fatalf("Send: got %v, want io.EOF", err)
			}
			if _, err = stream.Recv(); status.Code(err) != codes.FailedPrecondition {
				t.Fatalf("got %v, want FAILED_PRECONDITION", err)
			}
		}
	})
	t.Run("Semantics 54: an answer before the half-close", func(t *testing.T) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-case", "early")
		stream, err := client.StreamingInputCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		out := new(testpb.StreamingInputCallResponse)
		if err := stream.RecvMsg(out); err != nil {
			t.Fatal(err)
		}
		if out.GetAggregatedPayloadSize() != -1 {
			t.Errorf("got %v", out)
		}
	})
}

func TestGRPCRefusals(t *testing.T) {
	e := newEdge(t)
	client := testpb.NewTestServiceClient(dial(t, e.address))
	t.Run("Semantics 26: a refusal before Open", func(t *testing.T) {
		for shape, run := range shapes {
			got := run(metadata.AppendToOutgoingContext(t.Context(), "x-refuse", "1"), client)
			if got.Code != codes.PermissionDenied || got.Message != "not you" {
				t.Errorf("%s: got %v %q", shape, got.Code, got.Message)
			}
		}
		if n := e.backend.calls.Load(); n != 0 {
			t.Errorf("%d calls reached the backend", n)
		}
	})
	t.Run("an unknown method", func(t *testing.T) {
		err := dial(t, e.address).Invoke(t.Context(), "/no.Such/Method", &testpb.Empty{}, &testpb.Empty{})
		if status.Code(err) != codes.Unimplemented || status.Convert(err).Message() != "unknown method" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a message that is too large", func(t *testing.T) {
		_, err := client.UnaryCall(t.Context(), &testpb.SimpleRequest{Payload: payload(testMaxMessage)})
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("got %v, want RESOURCE_EXHAUSTED", err)
		}
	})
	t.Run("Semantics 21: inflated bytes count", func(t *testing.T) {
		_, err := client.UnaryCall(t.Context(), &testpb.SimpleRequest{Payload: payload(testMaxMessage)}, grpc.UseCompressor(gzip.Name))
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("got %v, want RESOURCE_EXHAUSTED", err)
		}
	})
}

func receive(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatal("the backend's call was not cancelled within a minute")
	}
}
