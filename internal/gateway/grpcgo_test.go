package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestClientSetting has an upstream reached by grpc-go's client, and by Transom's own
// after a reload: who asks sees no difference, the operator sees its state.
func TestClientSetting(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for _, client := range []string{"GRPC_GO", "TRANSOM", "GRPC_GO"} {
		text := fmt.Sprintf("schemas: [{ directory: ./protos }]\nupstreams: { backend: { grpc: { target: %q, client: %s } } }\n", g.Backend, client)
		if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if answer := g.Do(t, "GET", "/v1/shelves/1", ""); answer.Status != http.StatusOK {
			t.Errorf("%s: %d %s", client, answer.Status, answer.Body)
		}
		poll.Until(t, "the state READY", func() bool { return g.Upstreams()[0].State == "READY" })
	}
}

// TestMatricesByGRPCGo runs what goes through all protocols once more with grpc-go's
// client towards the backends, which must not change an answer.
func TestMatricesByGRPCGo(t *testing.T) {
	gatewaytest.RunWithClient(t, "GRPC_GO", "^(TestMatrix|TestPolicyMatrix|TestClientStreams|TestUploads|TestDuplex|TestEarlyEnd|"+
		"TestServerStreamFormats|TestSSE|TestServerStreamErrors|TestDownloads|TestCancellation|TestStreamTimeouts|TestBackendGoesAway|"+
		"TestMessageTooLarge|TestLargeAnswer|TestREST.*)$")
}
