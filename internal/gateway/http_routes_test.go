package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

// startSite starts a plain HTTP server that tells what it was asked, and returns its
// address. What it answers by default is told by the path.
func startSite(t *testing.T) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			w.Header().Set("Location", "/next")
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
			w.WriteHeader(http.StatusFound)
			return
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
			return
		}
		if r.URL.Path == "/socket" {
			echoSocket(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s host=%s body=%s\n", r.Method, r.RequestURI, r.Host, body) // the client looks
		var lines []string
		for name, values := range r.Header {
			lines = append(lines, name+": "+strings.Join(values, "|"))
		}
		slices.Sort(lines)
		_, _ = fmt.Fprintln(w, strings.Join(lines, "\n")) // as above
	}))
	t.Cleanup(site.Close)
	return strings.TrimPrefix(site.URL, "http://")
}

// echoSocket answers the first message of a WebSocket.
func echoSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	if kind, message, err := c.Read(r.Context()); err == nil {
		_ = c.Write(r.Context(), kind, append([]byte("echo "), message...)) // the client looks
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
}

// startRoutes starts a gateway of the bookstore and routes to a site.
func startRoutes(t *testing.T, config string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{Upstreams: "site: { http: { servers: [\"" + startSite(t) + "\"] } }", Config: config})
}

// TestRoutes carries requests through routes, by HTTP/1.1 and HTTP/2.
func TestRoutes(t *testing.T) {
	g := startRoutes(t, `
routes:
  - { match: { path_prefix: / }, upstream: site }
  - match: { path_prefix: /legacy }
    upstream: site
    rewrite: { strip_prefix: /legacy, host: internal.example }
    policy: { headers: { request: { set: { X-Set: "${client_ip}" }, remove: [X-Removed] }, response: { set: { X-Answer: "yes" } } } }
  - { match: { path_prefix: /old }, redirect: { replace_prefix: /legacy } }
  - { match: { path_prefix: /away }, redirect: { scheme: https, host: other.example, status: 302 } }
  - { match: { path: /hi }, respond: { body: "hello\n", status: 201, headers: { X-A: b } } }
  - { match: { path_prefix: /secret }, upstream: site, policy: { auth: { jwt: {} } } }
  - { match: { path_prefix: /small }, upstream: site, policy: { limits: { max_body_bytes: 3 } } }
auth: { jwt: [{ issuer: x, secret: a-secret-for-trying-things-out-only }] }
`)
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		has                      []string // in the body or, as "Name: value", the header
		hasNot                   []string
	}{
		{"Traffic 134: all that is nobody's", "GET", "/some/page?q=1", "", nil, 200, []string{"GET /some/page?q=1 host="}, nil},
		{"Traffic 134: methods first", "GET", "/v1/shelves/1", "", nil, 200, []string{`"name":"shelves/1"`}, nil},
		{"Traffic 134: their 405 only without a route", "DELETE", "/v1/shelves", "", nil, 200, []string{"DELETE /v1/shelves"}, nil},
		{"Traffic 135: one form of the path", "GET", "/legacy/../v1/./shelves/1", "", nil, 200, []string{`"name":"shelves/1"`}, nil},
		{"Traffic 135: what the server gets", "GET", "/a/%7e/%c3%a9/../b", "", nil, 200, []string{"GET /a/~/b host="}, nil},
		{"Traffic 135: above the root", "GET", "/a/../../b", "", nil, 400, []string{"leads above /"}, nil},
		{"Traffic 136: another route", "GET", "/legacy/..%2fsecret/x", "", nil, 400, []string{"is ambiguous"}, nil},
		{"Traffic 136: a method", "GET", "/legacy/..;/v1/shelves/1", "", nil, 400, []string{"is ambiguous"}, nil},
		{"Traffic 136: the same route", "GET", "/legacy/a%2fb;c", "", nil, 200, []string{"GET /a%2Fb;c host="}, nil},
		{"Traffic 138: rewritten", "POST", "/legacy/form?x=%20", "a=b", []string{"X-Removed", "1", "x_removed", "2"}, 200,
			[]string{"POST /form?x=%20 host=internal.example body=a=b", "X-Set: 127.0.0.1", "X-Answer: yes", "X-Forwarded-Proto: http"}, []string{"Removed"}},
		{"Traffic 141: nothing forged", "GET", "/x", "", []string{"X-Forwarded-For", "6.6.6.6", "Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "X-Transom-Principal", "root", "X_Transom_Principal", "root", "Grpc-Metadata-X-Transom-Principal", "root"}, 200,
			[]string{"X-Forwarded-For: 127.0.0.1\n"}, []string{"6.6.6.6", "root"}},
		{"Traffic 156, 157: mapped back", "GET", "/legacy/redirect", "", nil, 302, []string{"Location: /legacy/next", "Set-Cookie: a=b; Path=/legacy"}, nil},
		{"the server's own errors", "GET", "/teapot", "", nil, 418, nil, []string{"code"}},
		{"Traffic 205: redirect", "GET", "/old/a?b=c", "", nil, 301, []string{"/legacy/a?b=c"}, nil},
		{"Traffic 205: redirect of a POST", "POST", "/old/a", "x", nil, 308, []string{"/legacy/a"}, nil},
		{"Traffic 205: elsewhere, without the port", "GET", "/away/a", "", nil, 302, []string{"Location: https://other.example/away/a"}, nil},
		{"Traffic 205: no other host by the path", "GET", "/old//evil.example", "", nil, 301, []string{"/legacy//evil.example"}, []string{"//evil.example/"}},
		{"Traffic 206: an answer", "GET", "/hi", "", nil, 201, []string{"hello\n", "X-A: b", "Content-Type: text/plain; charset=utf-8"}, nil},
		{"Traffic 206: HEAD", "HEAD", "/hi", "", nil, 201, []string{"Content-Length: 6"}, []string{"hello"}},
		{"Traffic 160: refused", "GET", "/secret/x", "", nil, 401, []string{`"code":16`}, nil},
		{"refused to a browser", "GET", "/secret/x", "", []string{"Accept", "text/html,*/*"}, 401, []string{"Content-Length: 0"}, []string{"code"}},
		{"too large", "POST", "/small", "1234", nil, 413, nil, []string{"POST /small"}},
		{"not too large", "POST", "/small", "123", nil, 200, []string{"body=123"}, nil},
		{"Traffic 137: TRACE", "TRACE", "/x", "", nil, 405, []string{"Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}, []string{"TRACE /x"}},
	} {
		for over, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
			t.Run(test.name+"/"+over, func(t *testing.T) {
				a := g.DoWith(t, client, test.method, test.path, test.body, test.headers...)
				if a.Status != test.status {
					t.Fatalf("%d, want %d: %s", a.Status, test.status, a.Body)
				}
				var all strings.Builder
				_ = a.Header.Write(&all) // a Builder takes it
				text := strings.ReplaceAll(all.String(), "\r\n", "\n") + a.Body
				for _, has := range test.has {
					if !strings.Contains(text, has) {
						t.Errorf("there is no %q in\n%s", has, text)
					}
				}
				for _, not := range test.hasNot {
					if strings.Contains(text, not) {
						t.Errorf("there is %q in\n%s", not, text)
					}
				}
			})
		}
	}
}

// TestRoutesOverWebSocket: Traffic 149, 150: a WebSocket passes to a plain HTTP server.
func TestRoutesOverWebSocket(t *testing.T) {
	g := startRoutes(t, "routes: [{ match: { path_prefix: /live }, upstream: site, rewrite: { strip_prefix: /live } }]\n")
	for _, over := range []struct {
		name   string
		client *http.Client
	}{{"HTTP/1.1", g.Client}, {"HTTP/2", gatewaytest.ExtendedConnect(t)}} {
		t.Run(over.name, func(t *testing.T) {
			c, _, err := websocket.Dial(t.Context(), g.URL+"/live/socket", &websocket.DialOptions{HTTPClient: over.client})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.CloseNow() }()
			if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, message, err := c.Read(t.Context()); err != nil || string(message) != "echo hello" {
				t.Fatalf("%q, %v", message, err)
			}
		})
	}
	c, response, err := websocket.Dial(t.Context(), g.URL+"/live/socket", &websocket.DialOptions{HTTPClient: g.Client, HTTPHeader: http.Header{"Origin": {"https://evil.example"}}})
	if err == nil {
		_ = c.CloseNow()
		t.Fatal("a page of another origin opens a WebSocket")
	}
	if response == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another origin: %v, %v", response, err)
	}
}

// TestAttemptsOfRoutes plays what policies and the upstream say of attempts through a whole
// gateway: another server where one cannot be reached, retries by status, a breaker that
// opens, by hand too, and a cookie that brings a client back.
func TestAttemptsOfRoutes(t *testing.T) {
	var calls atomic.Int64
	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := calls.Add(1); r.URL.Path == "/sick" || n%3 != 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(sick.Close)
	one, two := startSite(t), startSite(t)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: `half: { http: { servers: ["` + one + `", "127.0.0.1:1"], balancing: { policy: round_robin } } }, ` +
			`sick: { http: { servers: ["` + strings.TrimPrefix(sick.URL, "http://") + `"] } }, ` +
			`pair: { http: { servers: ["` + one + `", "` + two + `"], balancing: { sticky: { cookie: site } } } }`,
		Config: `
routes:
  - { match: { path_prefix: /half }, upstream: half }
  - { match: { path_prefix: /retried }, upstream: sick, policy: { retry: { max_attempts: 3, budget_percent: 100 } } }
  - { match: { path_prefix: /sick }, upstream: sick, policy: { circuit_breaker: { consecutive_failures: 3, open_for: 60s } } }
  - { match: { path_prefix: /pair }, upstream: pair }
`})
	for range 10 {
		if a := g.Do(t, "POST", "/half", "body"); a.Status != 200 || !strings.Contains(a.Body, "body=body") {
			t.Fatalf("with one of two servers: %d %q", a.Status, a.Body)
		}
	}
	if a := g.Do(t, "GET", "/retried", ""); a.Status != 200 || calls.Load() != 3 {
		t.Errorf("retried: %d after %d attempts, want 200 after 3", a.Status, calls.Load())
	}
	before := calls.Load()
	for range 10 {
		g.Do(t, "GET", "/sick", "")
	}
	if n := calls.Load() - before; n != 3 {
		t.Errorf("a breaker lets %d requests pass, want 3", n)
	}
	first := g.Do(t, "GET", "/pair", "")
	cookie, _, _ := strings.Cut(first.Header.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "site=") {
		t.Fatalf("no sticky cookie: %v", first.Header)
	}
	for range 10 {
		if a := g.Do(t, "GET", "/pair", "", "Cookie", "a=b; "+cookie); strings.Contains(a.Body, "site=") || !strings.Contains(a.Body, "a=b") {
			t.Errorf("the server gets the gateway's own cookie, or not the client's: %q", a.Body)
		}
		if a := g.Do(t, "GET", "/pair", "", "Cookie", cookie); a.Header.Get("Set-Cookie") != "" {
			t.Errorf("the client is sent to another server: %v", a.Header)
		}
	}
}

// TestRoutesExplained: `transom explain` and `routes` know routes.
func TestRoutesExplained(t *testing.T) {
	g := startRoutes(t, `
routes:
  - { match: { host: shop.example, path_prefix: /legacy, methods: [GET, POST] }, upstream: site, rewrite: { strip_prefix: /legacy }, policy: { timeout: 3s } }
`)
	r := httptest.NewRequest("GET", "http://shop.example/legacy/a?b=c", nil)
	verdict := g.Explain(r)
	for _, want := range []string{"route      GET,POST shop.example/legacy/**", "sends      GET /a?b=c, Host: shop.example", "timeout: 3s ("} {
		if !strings.Contains(verdict.Report, want) {
			t.Errorf("there is no %q in\n%s", want, verdict.Report)
		}
	}
	if !verdict.Accepted {
		t.Errorf("not accepted: %s", verdict.Report)
	}
}

// TestForwardedByRFC7239 pins Traffic 141: backends of both kinds are told by Forwarded where
// a request comes from, behind trusted proxies, too, and by nothing that a client forges.
func TestForwardedByRFC7239(t *testing.T) {
	g := startRoutes(t, `
forwarded: RFC7239
via: true
trusted_proxies: ["127.0.0.0/8", "2001:db8::/32"]
routes: [{ match: { path_prefix: /site }, upstream: site }]
`)
	a := g.Do(t, "GET", "/site", "", "X-Forwarded-For", "6.6.6.6, 192.0.2.7, 2001:db8::1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "shop.example:8443", "Forwarded", "for=6.6.6.6")
	want := `Forwarded: for=192.0.2.7;host="shop.example:8443";proto=https, for="[2001:db8::1]", for=127.0.0.1`
	if !strings.Contains(a.Body, want+"\n") || strings.Contains(a.Body, "6.6.6.6") || strings.Contains(a.Body, "X-Forwarded") {
		t.Errorf("the site hears\n%s\nwant %s", a.Body, want)
	}
	if via := a.Header["Via"]; len(via) != 1 || !strings.Contains(via[0], "transom") {
		t.Errorf("the answer has Via %q", via)
	}
}

// TestErrorPages: browsers see the configuration's pages, and programs what they see else.
func TestErrorPages(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"401.html": "<p>log in", "5xx.html": "<p>sorry"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := gatewaytest.Start(t, gatewaytest.Options{Upstreams: `away: { http: { servers: ["127.0.0.1:1"] } }`, Config: `
error_pages: { "401": ` + dir + `/401.html, 5xx: ` + dir + `/5xx.html }
routes:
  - { match: { path_prefix: /away }, upstream: away }
  - { match: { path_prefix: /closed }, upstream: away, policy: { auth: { jwt: {} } } }
auth: { jwt: [{ issuer: x, secret: a-secret-for-trying-things-out-only }] }
`})
	for _, test := range []struct {
		path, accept string
		status       int
		body         string
	}{
		{"/away", "text/html", 502, "<p>sorry"},
		{"/away", "application/json", 502, `{"code":14,`},
		{"/closed", "text/html,application/xhtml+xml", 401, "<p>log in"},
		{"/closed", "*/*", 401, `{"code":16,`},
	} {
		a := g.Do(t, "GET", test.path, "", "Accept", test.accept)
		if a.Status != test.status || !strings.HasPrefix(a.Body, test.body) {
			t.Errorf("%s for %s: %d %q, want %d %q", test.path, test.accept, a.Status, a.Body, test.status, test.body)
		}
	}
}
