package gateway_test

import (
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestSubscriptionObeysRetryInfo: Events 165: the server says when it wants to be called again.
func TestSubscriptionObeysRetryInfo(t *testing.T) {
	const asked = 700 * time.Millisecond // the gateway alone would wait 100 ms at most
	server := new(counter)
	var mu sync.Mutex
	var at []time.Time
	server.answer = func(string, int) error {
		mu.Lock()
		defer mu.Unlock()
		if at = append(at, time.Now()); len(at) > 1 {
			return nil
		}
		busy, err := status.New(codes.ResourceExhausted, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
		if err != nil {
			t.Error(err)
		}
		return busy.Err()
	}
	g := subscribing(t, server, countReads)
	g.Do(t, "GET", "/v1/shared/shelves/1", "")
	calls := server.wait(t, "Count", 2)
	mu.Lock()
	defer mu.Unlock()
	if waited := at[1].Sub(at[0]); waited < asked || calls[1].md.Get("x-transom-attempt")[0] != "2" {
		t.Errorf("it was called again after %s, attempt %v", waited, calls[1].md.Get("x-transom-attempt"))
	}
}

// TestSubscriptionLimited: Events 163 and 166: a limit of the method holds for its subscription, too, and a
// call that it refuses is no attempt: the event waits, and does not become a dead letter.
func TestSubscriptionLimited(t *testing.T) {
	server := new(counter)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, server.serve), Protos: map[string]string{"shared.proto": withoutWhole()},
		Config: jwtConfig + "data_directory: " + t.TempDir() + `
events:
  subscriptions: [{ name: counts, topic: reads, method: shared.v1.Service/Count, max_attempts: 1 }]
policies:
  - { selector: shared.v1.Service.Count, policy: { rate_limit: [{ requests: 1, per: 1s, burst: 1, key: PRINCIPAL }] } }
`})
	for _, shelf := range []string{"1", "2", "3"} {
		g.Do(t, "GET", "/v1/shared/shelves/"+shelf, "")
	}
	for _, call := range server.wait(t, "Count", 3) {
		if attempt := call.md.Get("x-transom-attempt")[0]; attempt != "1" {
			t.Errorf("%s was called at attempt %s", call.name, attempt)
		}
	}
	if dead := deadLetters(t, g, "counts"); len(dead) != 0 {
		t.Errorf("%d dead letters, the first %+v", len(dead), dead[0])
	}
}
