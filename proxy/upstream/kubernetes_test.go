package upstream_test

import (
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestKubernetes: Traffic 175: pods that are ready get calls, those that end only while
// no other one can take them, and others none.
func TestKubernetes(t *testing.T) {
	ready, ending, other := startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t))
	// Each has a slice of its own, as their ports differ.
	slice := func(s *server, ready, serving, terminating bool) string {
		at := netip.MustParseAddrPort(s.address)
		return fmt.Sprintf(`{"metadata":{"name":"books-%d","resourceVersion":"9"},"addressType":"IPv4","endpoints":[{"addresses":[%q],"conditions":{"ready":%t,"serving":%t,"terminating":%t},"zone":"eu-1a"}],"ports":[{"name":"grpc","port":%d,"protocol":"TCP"}]}`,
			at.Port(), at.Addr(), ready, serving, terminating, at.Port())
	}
	events := make(chan string, 10)
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") == "" {
			_, _ = fmt.Fprintf(w, `{"metadata":{"resourceVersion":"8"},"items":[%s,%s,%s]}`, slice(ready, true, true, false), slice(ending, false, true, true), slice(other, false, false, false))
			return
		}
		for {
			_ = http.NewResponseController(w).Flush() // else the client has gone
			select {
			case text := <-events:
				_, _ = fmt.Fprint(w, text)
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(api.Close)
	folder := t.TempDir()
	for name, text := range map[string]string{"token": "x", "ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, err := net.SplitHostPort(api.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	conn := get(t, upstream.Target{Address: "k8s:///books.shop:grpc", ServiceAccount: folder})
	settled := func(servers ...*server) {
		t.Helper()
		poll.Until(t, "calls to those that are ready", func() bool {
			seen, err := answered(t, conn)
			return err == nil && slices.Equal(seen, addressesOf(servers...))
		})
	}
	settled(ready)
	events <- `{"type":"MODIFIED","object":` + slice(ready, false, false, true) + `}`
	settled(ending)
	events <- `{"type":"MODIFIED","object":` + slice(other, true, true, false) + `}`
	settled(other)
}

// TestKubernetesOutside: Traffic 175: outside of a pod calls fail, and the operator is
// told why.
func TestKubernetesOutside(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	conn := get(t, upstream.Target{Address: "k8s:///books.shop:grpc", ServiceAccount: t.TempDir()})
	if _, _, err := ask(t, conn); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if err := conn.Failure(); err == nil || !strings.Contains(err.Error(), "KUBERNETES_SERVICE_HOST") {
		t.Error(err)
	}
	_, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: "k8s:///books"})
	if err == nil || !strings.Contains(err.Error(), `expected "service.namespace:port"`) {
		t.Error(err)
	}
}
