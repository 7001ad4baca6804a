package gateway_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/otlptest"
)

// TestAttemptSpans: Traffic 81: each attempt has a span of its own below the call's, with
// its endpoint and its status, and is the parent of what the backend does.
func TestAttemptSpans(t *testing.T) {
	var mu sync.Mutex
	var parents []string // of what arrived
	backend := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		mu.Lock()
		parents = append(parents, strings.Join(md["traceparent"], " "))
		first := len(parents)%2 == 1
		mu.Unlock()
		if first {
			return status.Error(codes.Unavailable, "not now")
		}
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		return stream.SendMsg(new(emptypb.Empty))
	}))
	address := grpctest.Serve(t, backend)
	host, port, _ := strings.Cut(address, ":")
	var collector otlptest.Collector
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, NoBookstore: true, Protos: map[string]string{"retried.proto": retryProto}, Traces: collector.OverHTTP(t)})
	for _, path := range []string{"/v1/read", "/v1/watch"} {
		if a := g.Do(t, "GET", path, ""); a.Status != 200 {
			t.Fatalf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	if err := g.Telemetry.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var calls, attempts []*tracev1.Span
	for _, span := range collector.Spans() {
		if span.Kind == tracev1.Span_SPAN_KIND_CLIENT {
			attempts = append(attempts, span)
		} else {
			calls = append(calls, span)
		}
	}
	slices.SortFunc(attempts, func(a, b *tracev1.Span) int { return int(a.StartTimeUnixNano) - int(b.StartTimeUnixNano) })
	if len(calls) != 2 || len(attempts) != 4 {
		t.Fatalf("%d calls and %d attempts", len(calls), len(attempts))
	}
	for i, attempt := range attempts {
		if !slices.ContainsFunc(calls, func(call *tracev1.Span) bool { return bytes.Equal(call.SpanId, attempt.ParentSpanId) }) {
			t.Errorf("attempt %d has no call", i)
		}
		if want := fmt.Sprintf("00-%s-%s-01", hex.EncodeToString(attempt.TraceId), hex.EncodeToString(attempt.SpanId)); parents[i] != want {
			t.Errorf("attempt %d: the backend has traceparent %s, want %s", i, parents[i], want)
		}
		said := map[string]string{}
		for _, a := range attempt.Attributes {
			said[a.Key] = strings.Trim(fmt.Sprint(a.Value.GetStringValue(), a.Value.GetIntValue()), " ")
		}
		code, number := "UNAVAILABLE0", "0"
		if i%2 == 1 {
			code, number = "OK0", "2"
		}
		if said["server.address"] != host+"0" || said["server.port"] != port || said["rpc.response.status_code"] != code || i%2 == 1 && said["transom.attempt"] != number {
			t.Errorf("attempt %d: %v", i, said)
		}
	}
}
