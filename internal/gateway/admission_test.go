package gateway_test

import (
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestWaitingForAdmissionTakesTime: the time of a call begins when it arrives,
// so that one that waits for its turn is not served after its end (Semantics 32).
func TestWaitingForAdmissionTakesTime(t *testing.T) {
	keeper := &doorBackend{held: make(chan struct{}, 100), told: map[string][]metadata.MD{}}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, keeper.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
		Config: `metadata: { request_headers: [x-case] }
policies:
  - selector: door.v1.Busy.*
    policy: { concurrency: { max: 1, queue: 5, queue_timeout: 3600s } }
`,
	})
	for _, test := range []struct {
		name, rpc, method, path, body string
		headers                       []string
	}{
		{"REST", "Ask", "POST", "/Busy/ask", `{"text":"second"}`, []string{"X-Request-Timeout", "0.2"}},
		{"Connect", "Ask", "POST", "/door.v1.Busy/Ask", `{"text":"second"}`, []string{"Connect-Protocol-Version", "1", "Connect-Timeout-Ms", "200"}},
		{"a stream", "Watch", "GET", "/Busy/watch?text=second", "", []string{"X-Request-Timeout", "0.2"}},
	} {
		t.Run("Semantics 32: "+test.name, func(t *testing.T) {
			defer keeper.hold(t, g, "/door.v1.Busy/"+test.rpc)()
			a := g.Do(t, test.method, test.path, test.body, append(test.headers, "X-Case", test.name)...)
			if a.Status != 504 {
				t.Errorf("%d %s, want 504", a.Status, a.Body)
			}
			if told := keeper.of(test.name); len(told) > 0 {
				t.Error("the backend was called")
			}
		})
	}
}
