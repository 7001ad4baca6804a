package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const retryProto = `syntax = "proto3";
package retried.v1;
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service Service {
  option (transom.v1.service) = { retry: { initial_backoff: { nanos: 1000000 } } };
  rpc Read(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/read" };
  }
  rpc Write(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (google.api.http) = { post: "/v1/write" body: "*" };
  }
  rpc Watch(google.protobuf.Empty) returns (stream google.protobuf.Empty) {
    option idempotency_level = IDEMPOTENT;
    option (google.api.http) = { get: "/v1/watch" };
  }
}`

// sick answers so many calls of each method with UNAVAILABLE, and asks for a pause.
type sick struct {
	mu       sync.Mutex
	failures int
	arrivals []string // grpc-previous-rpc-attempts
	pushback string
}

func (s *sick) serve(_ any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	s.mu.Lock()
	s.arrivals = append(s.arrivals, strings.Join(md["grpc-previous-rpc-attempts"], ","))
	fails := s.failures > 0
	s.failures--
	pushback := s.pushback
	s.mu.Unlock()
	if fails {
		if pushback != "" {
			stream.SetTrailer(metadata.Pairs("grpc-retry-pushback-ms", pushback))
		}
		return status.Error(codes.Unavailable, "sick")
	}
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	return stream.SendMsg(new(emptypb.Empty))
}

// again makes it sick for so many calls, and returns those that have arrived since.
func (s *sick) again(failures int, pushback string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	arrivals := s.arrivals
	s.failures, s.pushback, s.arrivals = failures, pushback, nil
	return arrivals
}

func startSick(t *testing.T) (*sick, string) {
	t.Helper()
	s := &sick{}
	return s, grpctest.ServeAny(t, s.serve)
}

// TestRetry: Traffic 57, 60, 72, 74, 81: by each protocol a call that may be made twice is,
// and another one is not; the log and the metrics say so.
func TestRetry(t *testing.T) {
	backend, address := startSick(t)
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, NoBookstore: true, Protos: map[string]string{"retried.proto": retryProto}, Log: &log})
	conn, err := grpc.NewClient(g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	byGRPC := func(method string) (codes.Code, metadata.MD) {
		var trailer metadata.MD
		err := conn.Invoke(t.Context(), "/retried.v1.Service/"+method, new(emptypb.Empty), new(emptypb.Empty), grpc.Trailer(&trailer))
		return status.Code(err), trailer
	}
	stream := func() codes.Code {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/retried.v1.Service/Watch")
		if err == nil {
			if err = s.SendMsg(new(emptypb.Empty)); err == nil {
				if err = s.CloseSend(); err == nil {
					err = s.RecvMsg(new(emptypb.Empty))
				}
			}
		}
		return status.Code(err)
	}
	for _, test := range []struct {
		name string
		call func() string
		want string
		seen string // grpc-previous-rpc-attempts of the arrivals
	}{
		{"REST", func() string { return fmt.Sprint(g.Do(t, "GET", "/v1/read", "").Status) }, "200", ";1;2"},
		{"REST, side effects", func() string { return fmt.Sprint(g.Do(t, "POST", "/v1/write", "{}").Status) }, "503", ""},
		{"the client's own word", func() string {
			return fmt.Sprint(g.Do(t, "GET", "/v1/read", "", "Grpc-Metadata-Grpc-Previous-Rpc-Attempts", "7", "Grpc-Previous-Rpc-Attempts", "8").Status)
		}, "200", ";1;2"},
		{"NDJSON", func() string { return fmt.Sprint(g.Do(t, "GET", "/v1/watch", "").Status) }, "200", ";1;2"},
		{"SSE", func() string {
			return fmt.Sprint(g.Do(t, "GET", "/v1/watch", "", "Accept", "text/event-stream").Status)
		}, "200", ";1;2"},
		{"Connect", func() string {
			return fmt.Sprint(g.Do(t, "POST", "/retried.v1.Service/Read", "{}", "Content-Type", "application/json", "Connect-Protocol-Version", "1").Status)
		}, "200", ";1;2"},
		{"gRPC", func() string { code, _ := byGRPC("Read"); return code.String() }, "OK", ";1;2"},
		{"gRPC, side effects", func() string { code, _ := byGRPC("Write"); return code.String() }, "Unavailable", ""},
		{"gRPC, a stream", func() string { return stream().String() }, "OK", ";1;2"},
	} {
		backend.again(2, "")
		if got := test.call(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
		if seen := strings.Join(backend.again(0, ""), ";"); seen != test.seen {
			t.Errorf("%s: the backend saw %q, want %q", test.name, seen, test.seen)
		}
	}
	backend.again(9, "7001")
	if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 503 || a.Header.Get("Retry-After") != "8" {
		t.Errorf("Traffic 72: %d, Retry-After %q, want 503 and 8", a.Status, a.Header.Get("Retry-After"))
	}
	if code, trailer := byGRPC("Read"); code != codes.Unavailable || len(trailer["retry-after"]) != 1 || trailer["retry-after"][0] != "8" {
		t.Errorf("Traffic 72: %s, trailer %v, want retry-after 8", code, trailer)
	}
	poll.Until(t, "a line of each call", func() bool { return strings.Count(log.String(), `"msg":"request"`) == 11 })
	checkRetryLog(t, log.String())
	scrape := httptest.NewRecorder()
	g.Telemetry.Metrics.Handler().ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`transom_retries_total{rpc="retried.v1.Service/Read"} 8`, `transom_retries_denied_total{reason="pushback",rpc="retried.v1.Service/Read"} 2`} {
		if !strings.Contains(scrape.Body.String(), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// checkRetryLog looks for what the access log says of attempts.
func checkRetryLog(t *testing.T, log string) {
	t.Helper()
	said := map[string]int{}
	for line := range strings.Lines(log) {
		var l map[string]any
		if json.Unmarshal([]byte(line), &l) == nil && l["msg"] == "request" {
			said[fmt.Sprint(l["attempts"], " ", l["retry_denied"])]++
		}
	}
	if want := "map[3 <nil>:7 <nil> <nil>:2 <nil> pushback:2]"; fmt.Sprint(said) != want {
		t.Errorf("the log says %v, want %s", said, want)
	}
}
