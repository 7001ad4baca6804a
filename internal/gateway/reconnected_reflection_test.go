package gateway_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
)

// TestReflectionOverANewConnection has the settings of an upstream changed whose server
// tells its schema: it is asked over the new connection from then on, as the old one is
// closed.
func TestReflectionOverANewConnection(t *testing.T) {
	log := new(logtext.Text)
	g := gatewaytest.Start(t, gatewaytest.Options{Log: log})
	for _, setting := range []string{"authority: a", "authority: b", "authority: b", "client: GRPC_GO", "client: GRPC_GO, authority: c", "client: GRPC_GO, authority: c", "authority: c"} {
		text := fmt.Sprintf("schemas: [{ reflection: { upstream: books } }]\nupstreams: { books: { grpc: { target: %q, %s } } }\n", g.Backend, setting)
		if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err != nil || strings.Contains(log.String(), "cannot be asked") {
			t.Errorf("with %s: %v, %s", setting, err, log.String())
		}
	}
}
