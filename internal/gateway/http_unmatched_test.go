package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestMethodsOfRoutes pins Traffic 134: where routes match but for the method, the answer is 405
// with theirs.
func TestMethodsOfRoutes(t *testing.T) {
	g := startRoutes(t, `
routes:
  - { match: { path_prefix: /read, methods: [GET] }, upstream: site }
  - { match: { path: /read/x, methods: [PUT] }, upstream: site }
  - { match: { path_prefix: /v1/shelves, methods: [PUT] }, upstream: site }
  - { match: { path: /beta, methods: [GET], headers: { x-beta: "1" } }, upstream: site }
`)
	for _, test := range []struct {
		method, path string
		headers      []string
		status       int
		allow        string
	}{
		{"GET", "/read", nil, 200, ""},
		{"POST", "/read", nil, 405, "GET"},
		{"HEAD", "/read", nil, 405, "GET"},
		{"OPTIONS", "/read", nil, 405, "GET"},
		{"TRACE", "/read", nil, 405, "GET"},
		{"POST", "/read/x", nil, 405, "GET, PUT"},
		{"POST", "/read/./y/../x", nil, 405, "GET, PUT"},
		{"PATCH", "/v1/shelves", nil, 405, "GET, HEAD, OPTIONS, POST, PUT"},
		{"POST", "/beta", nil, 404, ""},
		{"POST", "/beta", []string{"X-Beta", "1"}, 405, "GET"},
		{"POST", "/other", nil, 404, ""},
	} {
		for over, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
			a := g.DoWith(t, client, test.method, test.path, "", test.headers...)
			if a.Status != test.status || a.Header.Get("Allow") != test.allow {
				t.Errorf("%s %s over %s: %d with %q, want %d with %q", test.method, test.path, over, a.Status, a.Header.Get("Allow"), test.status, test.allow)
			}
		}
	}
}

// TestPageOfNoRoute: browsers see the configuration's page where there is no route, and programs
// the error.
func TestPageOfNoRoute(t *testing.T) {
	page := filepath.Join(t.TempDir(), "404.html")
	if err := os.WriteFile(page, []byte("<p>not here"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startRoutes(t, "error_pages: { \"404\": "+page+" }\nroutes: [{ match: { path: /x, methods: [GET] }, upstream: site }]\n")
	for _, test := range []struct {
		method, path, accept, contentType string
		status                            int
		body                              string
	}{
		{"GET", "/nowhere", "text/html,*/*;q=0.8", "", 404, "<p>not here"},
		{"HEAD", "/nowhere", "text/html", "", 404, ""},
		{"GET", "/nowhere", "*/*", "", 404, `{"code":5,`},
		{"POST", "/x", "text/html", "", 405, `{"code":12,`}, // there is no page for it
		{"POST", "/a.B/C", "text/html", "application/grpc-web", 200, ""},
	} {
		a := g.Do(t, test.method, test.path, "", "Accept", test.accept, "Content-Type", test.contentType)
		if a.Status != test.status || !strings.HasPrefix(a.Body, test.body) || test.body == "" && a.Body != "" && test.contentType == "" {
			t.Errorf("%+v: %d %q", test, a.Status, a.Body)
		}
	}
}

// TestTimeoutOfRoutes: the text of a timeout says what took too long, and which setting ended it.
func TestTimeoutOfRoutes(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{Upstreams: `silent: { http: { servers: ["` + strings.TrimPrefix(silent.URL, "http://") + `"] } }`,
		Config: "routes: [{ match: { path: /x }, upstream: silent, policy: { timeout: 0.05s } }]\n"})
	a := g.Do(t, "GET", "/x", "")
	if want := `"the server did not answer within 50ms (timeout)"`; a.Status != http.StatusGatewayTimeout || !strings.Contains(a.Body, want) {
		t.Errorf("%d %s, want %s", a.Status, a.Body, want)
	}
}
