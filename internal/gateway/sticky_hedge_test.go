package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// hanging are servers that answer with their number, apart from those that hang.
type hanging struct {
	mu   sync.Mutex
	hang map[int]bool
}

func (h *hanging) start(t *testing.T, n int) (address string) {
	t.Helper()
	return grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		h.mu.Lock()
		hangs := h.hang[n]
		h.mu.Unlock()
		if hangs {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		return stream.SendMsg(wrapperspb.String(fmt.Sprint("server ", n)))
	})
}

const stuckProto = `syntax = "proto3";
package stuck.v1;
import "google/api/annotations.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service Service {
  option (transom.v1.service) = { retry: { hedge_after: { nanos: 20000000 } } };
  rpc Read(google.protobuf.Empty) returns (google.protobuf.StringValue) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/read" };
  }
}`

// TestStickyHedges: Traffic 77 and 167: a client with the gateway's cookie is answered by
// its server; while that one hangs, by another one, as a hedge, and its cookie names its
// own server still, which has not gone. It comes back to it.
func TestStickyHedges(t *testing.T) {
	h := &hanging{hang: map[int]bool{}}
	r := manual.NewBuilderWithScheme("stickyhedges")
	var state resolver.State
	for n := range 3 {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: h.start(t, n)})
	}
	r.InitialState(state)
	resolver.Register(r)
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: "stickyhedges:///servers", Upstream: "balancing: { policy: round_robin, sticky: { cookie: stuck } }",
		NoBookstore: true, Protos: map[string]string{"stuck.proto": stuckProto}, Log: &log,
	})
	seen := map[string]bool{}
	poll.Until(t, "calls to all servers", func() bool {
		seen[g.Do(t, "GET", "/v1/read", "").Body] = true
		return len(seen) == 3
	})
	first := g.Do(t, "GET", "/v1/read", "")
	cookie := cookieOf(t, first.Header)
	if cookie == nil {
		t.Fatalf("no cookie: %v", first.Header)
	}
	var own int
	if _, err := fmt.Sscanf(strings.Trim(first.Body, `"`), "server %d", &own); err != nil {
		t.Fatal(err, first.Body)
	}
	set := func(hangs bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.hang[own] = hangs
	}
	ask := func() gatewaytest.Answer { return g.Do(t, "GET", "/v1/read", "", "Cookie", "stuck="+cookie.Value) }
	set(true)
	for range 6 {
		if a := ask(); a.Status != 200 || a.Body == first.Body || cookieOf(t, a.Header) != nil {
			t.Errorf("while the server hangs: %d %s, cookie %v", a.Status, a.Body, cookieOf(t, a.Header))
		}
	}
	hedged := func() (n int) {
		for line := range strings.Lines(log.String()) {
			var l struct{ Hedged, Attempts int }
			if json.Unmarshal([]byte(line), &l) == nil && l.Hedged == 1 && l.Attempts == 2 {
				n++
			}
		}
		return n
	}
	poll.Until(t, "six hedged calls in the log", func() bool { return hedged() >= 6 })
	set(false)
	poll.Until(t, "the client's own server to answer again", func() bool { return ask().Body == first.Body })
}
