package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const hedgeProto = `syntax = "proto3";
package hedged.v1;
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service Service {
  option (transom.v1.service) = { retry: { hedge_after: { nanos: 1000000 } } };
  rpc Read(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/read" };
  }
  rpc Watch(google.protobuf.Empty) returns (stream google.protobuf.Empty) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/watch" };
  }
}`

// startHedged starts a server that answers no attempt but those after the first of a call.
func startHedged(t *testing.T) (address string) {
	t.Helper()
	return grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if md, _ := metadata.FromIncomingContext(stream.Context()); len(md["grpc-previous-rpc-attempts"]) == 0 {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		return stream.SendMsg(new(emptypb.Empty))
	})
}

// TestHedgedCalls: Traffic 77, 81: a call that its first server does not answer is answered by
// another one; the log and the metrics say so.
func TestHedgedCalls(t *testing.T) {
	r := manual.NewBuilderWithScheme("hedged")
	r.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: startHedged(t)}, {Addr: startHedged(t)}}})
	resolver.Register(r)
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "hedged:///servers", NoBookstore: true, Protos: map[string]string{"hedged.proto": hedgeProto}, Log: &log})
	answered := 0
	for _, path := range []string{"/v1/read", "/v1/watch"} {
		poll.Until(t, "both servers to be connected", func() bool {
			return g.Do(t, "GET", path, "", "X-Request-Timeout", "1").Status == 200
		})
		answered++
	}
	hedged := func() (n int) {
		for line := range strings.Lines(log.String()) {
			var l map[string]any
			if json.Unmarshal([]byte(line), &l) == nil && fmt.Sprint(l["status"], " ", l["attempts"], " ", l["hedged"]) == "200 2 1" {
				n++
			}
		}
		return n
	}
	poll.Until(t, "the log's lines", func() bool { return hedged() == answered })
	scrape := httptest.NewRecorder()
	g.Telemetry.Metrics.Handler().ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	for _, method := range []string{"Read", "Watch"} {
		if want := `transom_hedges_total{rpc="hedged.v1.Service/` + method + `"} 1`; !strings.Contains(scrape.Body.String(), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}
