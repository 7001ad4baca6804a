package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestTroubledServers: what is wrong with a plain HTTP server is in the access log and in
// what the admin listener shows, and not in what clients get.
func TestTroubledServers(t *testing.T) {
	// net/http has one of two reasons, by the moment at which the server's answer comes.
	const noH2, lateNoH2 = "HTTP/1.1 header", "http2: client conn could not be established"
	for name, test := range map[string]struct{ server, settings, answer, cause string }{
		"nothing listens":        {"127.0.0.1:1", "", "the server cannot be reached: connection refused", "dial tcp 127.0.0.1:1: connect: connection refused"},
		"it does not speak TLS":  {startSite(t), "tls: {}", "the server cannot be reached: TLS failed", "first record does not look like a TLS handshake"},
		"it does not speak h2":   {startSite(t), "protocol: H2C", "the connection to the server broke", noH2},
		"it has an answer ready": {startSite(t), "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(logLines)
			g := gatewaytest.Start(t, gatewaytest.Options{
				Log:       log,
				Upstreams: fmt.Sprintf("site: { http: { servers: [%q], %s } }", test.server, test.settings),
				Config:    "routes: [{ match: { path_prefix: /site }, upstream: site }]\n",
			})
			a := g.Do(t, http.MethodGet, "/site", "")
			line := lineOf(t, log, a.Header.Get("X-Request-Id"))
			cause, _ := line["cause"].(string)
			if test.cause == noH2 && strings.Contains(cause, lateNoH2) {
				test.cause = lateNoH2
			}
			if !strings.Contains(a.Body, test.answer) || test.cause != "" && strings.Contains(a.Body, test.cause) {
				t.Errorf("the client gets %d %s", a.Status, a.Body)
			}
			if !strings.Contains(cause, test.cause) || test.cause == "" && cause != "" {
				t.Errorf("the log's cause is %q, expected %q", cause, test.cause)
			}
			for _, u := range g.Upstreams() {
				if u.Name != "site" {
					continue
				}
				why := u.Servers[0].Why
				if u.Servers[0].State != "READY" || test.cause == "" && why != "" || test.cause != "" && (!strings.HasPrefix(why, "its last call failed: ") || !strings.Contains(why, test.cause)) {
					t.Errorf("the admin listener shows %s: %q", u.Servers[0].State, why)
				}
			}
		})
	}
}
