package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestRequestIDOfRoutes: the id of an answer is the one in the gateway's log, whatever
// the server of a route says (Semantics 321).
func TestRequestIDOfRoutes(t *testing.T) {
	site := serveSite(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Request-Id", "the-servers") })
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: "site: { http: { servers: [\"" + site + "\"] } }",
		Config:    "routes: [{ match: { path_prefix: /site }, upstream: site }]",
	})
	a := g.Do(t, "GET", "/site/a", "", "X-Request-Id", "the-clients")
	if got := a.Header["X-Request-Id"]; a.Status != http.StatusOK || len(got) != 1 || got[0] != "the-clients" {
		t.Errorf("%d, X-Request-Id %q", a.Status, got)
	}
}

// serveSite starts a server of plain HTTP that ends with the test.
func serveSite(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}
