package gateway_test

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// ngtcp2 asks by ngtcp2's client, which shares no code with the gateway, and returns what that tells.
func ngtcp2(t *testing.T, g *gatewaytest.Gateway, options []string, paths ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	arguments := append([]string{"--exit-on-all-streams-close", "--no-quic-dump", "--sni=localhost"}, options...)
	arguments = append(arguments, host, port)
	for _, path := range paths {
		arguments = append(arguments, "https://localhost:"+port+path)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told, err := exec.CommandContext(ctx, "gtlsclient", arguments...).CombinedOutput() //nolint:gosec // the test's own arguments
	if err != nil {
		t.Fatalf("gtlsclient: %v\n%s", err, told)
	}
	return string(told)
}

// TestHTTP3ByNgtcp2: Traffic 188 and 189: another implementation of HTTP/3 gets answers: to many requests at once,
// where packets are lost, after it has moved to another port and changed its keys, and where its early data is refused.
func TestHTTP3ByNgtcp2(t *testing.T) {
	g, site, _ := startEarly(t)
	t.Run("requests", func(t *testing.T) {
		told := ngtcp2(t, g, []string{"--nstreams=50"}, "/v1/shelves/1", "/site/a")
		if n := strings.Count(told, "[:status: 200]"); n != 50 {
			t.Errorf("%d answers of 50:\n%s", n, told)
		}
		if n := strings.Count(told, "|done|"); n != 25 {
			t.Errorf("%d bodies of 25:\n%s", n, told)
		}
	})
	t.Run("lost packets", func(t *testing.T) {
		told := ngtcp2(t, g, []string{"--tx-loss=0.1", "--rx-loss=0.1", "--nstreams=20"}, "/v1/shelves/1")
		if n := strings.Count(told, "[:status: 200]"); n != 20 {
			t.Errorf("%d answers of 20:\n%s", n, told)
		}
	})
	t.Run("early data from an address that nothing proves", func(t *testing.T) {
		dir := t.TempDir()
		kept := []string{"--session-file=" + filepath.Join(dir, "session"), "--tp-file=" + filepath.Join(dir, "tp")}
		ngtcp2(t, g, kept, "/v1/shelves/1")
		told := ngtcp2(t, g, kept, "/site/again")
		if !strings.Contains(told, "0RTT STREAM") || !strings.Contains(told, "Early data was rejected by server") || !strings.Contains(told, "[:status: 200]") {
			t.Errorf("it was not refused, or not asked again:\n%s", told)
		}
		if got := site.heard(); !slices.Contains(got, "/site/again ") {
			t.Errorf("the site got %q", got)
		}
	})
	t.Run("another port, and other keys", func(t *testing.T) {
		told := ngtcp2(t, g, []string{"--change-local-addr=1ms", "--key-update=1ms", "--delay-stream=50ms"}, "/v1/shelves/1")
		_, changed, _ := strings.Cut(told, "Changing local address")
		_, renewed, _ := strings.Cut(changed, "key update confirmed")
		if !strings.Contains(renewed, "[:status: 200]") {
			t.Errorf("from another port, with other keys, there is no answer:\n%s", told)
		}
	})
}
