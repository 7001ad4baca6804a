package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

// laxSite is a plain HTTP server that reads paths in its own way, and remembers those that
// were not what the client may see.
type laxSite struct {
	read    func(target string) string
	mu      sync.Mutex
	reached []string
	asked   int
}

// ServeHTTP implements http.Handler.
func (s *laxSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target, _, _ := strings.Cut(r.RequestURI, "?")
	path := "/" + strings.TrimLeft(s.read(target), "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if path == "/admin" || strings.HasPrefix(path, "/admin/") {
		s.reached = append(s.reached, r.RequestURI)
	}
	w.WriteHeader(http.StatusNoContent)
}

// unescape decodes once, and leaves what is no escape.
func unescape(path string) string {
	for i := 0; i+2 < len(path); i++ {
		if c, err := url.PathUnescape(path[i : i+3]); err == nil && path[i] == '%' {
			path = path[:i] + c + path[i+3:]
		}
	}
	return path
}

// resolveDots resolves dot segments, after merging slashes, as path.Clean does for a path
// that is rooted.
func resolveDots(path string) string {
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}

var laxReadings = map[string]func(string) string{
	"decodes twice": func(s string) string { return resolveDots(unescape(unescape(s))) },
	"merges slashes and backslashes": func(s string) string {
		return resolveDots(strings.ReplaceAll(unescape(s), `\`, "/"))
	},
	"cuts at semicolons, then decodes": func(s string) string {
		segments := strings.Split(s, "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		return resolveDots(unescape(strings.Join(segments, "/")))
	},
	"parses a reference": func(s string) string {
		s = strings.ReplaceAll(s, `\`, "/")
		if strings.HasPrefix(s, "//") {
			_, s, _ = strings.Cut(strings.TrimLeft(s, "/"), "/")
		}
		return resolveDots(unescape(s))
	},
	"ends at NUL": func(s string) string {
		s, _, _ = strings.Cut(unescape(s), "\x00")
		return resolveDots(s)
	},
}

// confusing are the paths by which servers behind proxies were reached that should not have
// been, and their like.
var confusing = []string{
	// CVE-2019-9901 (Envoy: paths were not normalised), CVE-2021-29492 (Envoy: escaped slashes)
	"/public/../admin", "/public/%2e%2e/admin", "/public/..//admin", "/public%2f..%2fadmin", "/public/..%2fadmin", "/public/..%5Cadmin", `/public\..\admin`, "/%2fadmin",
	// CVE-2025-66490 (Traefik: escaped characters), traefik#11746, the chain of StripPrefix
	"/strip%2f..%2fadmin", "/strip/%2e%2e/admin", "/strip/..%2Fadmin", "/strip%2e%2e/admin", "/strip/..;/admin", "/strip/;/../../admin", "/strip/%5c..%5cadmin", "/strip%2Fadmin", "/strip%3b/admin", "/api%2e/../admin",
	// caddy#4407 (slashes merged), CVE-2026-27587 (case of escapes), #7941
	"//admin", "///admin", "/./admin", "//public/../admin", "/%61dmin", "/%61%64%6d%69%6e", "/%2561dmin", "/public//../admin", "/public/%252e%252e/admin", "/public/%252e%252e%252fadmin",
	// what a parser of URLs takes for a host, and parameters that hide a slash
	"//public/admin", `/\public/admin`, `\\public\admin`, "/public/..%2F;x/admin", "/public%2F..;x%2Fc/admin", "/admin;x=y", "/admin%3bx=y", "/admin%00", "/admin%00.html", "/admin%20", "/admin%09", "/admin%0d%0a", "/ad%00min", "/%00admin",
	`/public%2Fx\..\admin`, "/public%5Cx/..%2F../admin", "/strip//public/admin", `/strip/\public/admin`, "/strip/%2Fpublic/admin", "/strip/%5Cpublic/admin", "/strip/public/..%2Fadmin", "/strip//admin", "/strip/%2Fadmin", "/strip/;/admin", "/strip/%2e%2fadmin",
	"/jail/..%2f..%2fadmin", "/jail/..%2fadmin", "/jail/..;/..;/admin", `/jail/..\..\admin`, "/jail/%252e%252e/%252e%252e/admin", "/..%2f..%2fadmin", "/..;/..;/admin", `/..\..\admin`, "/x/..%2F..%2F..%2Fadmin",
}

// TestAmbiguousPaths pins Traffic 136: whatever a client writes, no server reads /admin from
// what it gets, for that is another route; and usual paths pass.
func TestAmbiguousPaths(t *testing.T) {
	for name, read := range laxReadings {
		t.Run(name, func(t *testing.T) {
			site := &laxSite{read: read}
			listener := httptest.NewServer(site)
			t.Cleanup(listener.Close)
			g := gatewaytest.Start(t, gatewaytest.Options{
				Upstreams: `site: { http: { servers: ["` + strings.TrimPrefix(listener.URL, "http://") + `"] } }`,
				Config: `
routes:
  - { match: { path_prefix: / }, upstream: site }
  - { match: { path_prefix: /admin }, upstream: site, policy: { auth: { jwt: {} } } }
  - { match: { path_prefix: /strip }, upstream: site, rewrite: { strip_prefix: /strip } }
  - { match: { path_prefix: /strip/admin }, upstream: site, rewrite: { strip_prefix: /strip }, policy: { auth: { jwt: {} } } }
  - { match: { path_prefix: /jail }, upstream: site, rewrite: { replace_prefix: /a/b } }
  - { match: { host: jail.example }, upstream: site, rewrite: { add_prefix: /a/b } }
auth: { jwt: [{ issuer: x, secret: a-secret-for-trying-things-out-only }] }
`})
			for _, path := range confusing {
				for _, host := range []string{"shop.example", "jail.example"} {
					before := len(site.reached)
					if status := rawStatus(t, g.Addr, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); len(site.reached) > before {
						t.Errorf("%s%s is answered with %d, and the server reads /admin from %q", host, path, status, site.reached[before:])
					}
				}
			}
			for _, path := range []string{"/a", "/a//b", "/a%2Fb", "/x;y=z", "/50%25", "/strip/a%2Fb", "/jail/a//b;c", "/public/%C3%A9", "/fetch/https%3A%2F%2Fx.example%2Fa%3Fb%23c"} {
				before := site.asked
				if status := rawStatus(t, g.Addr, "GET "+path+" HTTP/1.1\r\nHost: shop.example\r\n\r\n"); status != http.StatusNoContent || site.asked != before+1 {
					t.Errorf("%q is answered with %d; the server was asked %d times", path, status, site.asked-before)
				}
			}
		})
	}
}

// TestTargets pins Traffic 137.
func TestTargets(t *testing.T) {
	g := startRoutes(t, "routes: [{ match: { path_prefix: / }, upstream: site }]")
	for _, test := range []struct {
		name, head string
		status     int
	}{
		{"a path of 8 KiB", "GET /" + strings.Repeat("a", 8191) + " HTTP/1.1\r\nHost: a\r\n", 200},
		{"a longer one", "GET /" + strings.Repeat("a", 8192) + " HTTP/1.1\r\nHost: a\r\n", 414},
		{"a query beside it", "GET /x?" + strings.Repeat("a", 8190) + " HTTP/1.1\r\nHost: a\r\n", 414},
		{"NUL", "GET /a\x00b HTTP/1.1\r\nHost: a\r\n", 400},
		{"a CR", "GET /a\rb HTTP/1.1\r\nHost: a\r\n", 400},
		{"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n", 400},
		{"a byte beyond ASCII", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n", 400},
		{"a broken escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n", 400},
		{"the absolute form", "GET http://a/x HTTP/1.1\r\nHost: a\r\n", 200},
		{"the absolute form with another host", "GET http://b/x HTTP/1.1\r\nHost: a\r\n", 400},
		{"OPTIONS of all", "OPTIONS * HTTP/1.1\r\nHost: a\r\n", 204},
		{"another method of all", "GET * HTTP/1.1\r\nHost: a\r\n", 400},
		{"TRACE", "TRACE /x HTTP/1.1\r\nHost: a\r\n", 405},
		{"CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n", 405},
	} {
		t.Run("Traffic 137: "+test.name, func(t *testing.T) {
			if status := rawStatus(t, g.Addr, test.head+"Connection: close\r\n\r\n"); status != test.status {
				t.Errorf("%d, want %d", status, test.status)
			}
		})
	}
}

// TestUpstreamsAuthorityIsMappedBack pins Traffic 156: a server that gets its own Host names
// itself, and the client finds its way back.
func TestUpstreamsAuthorityIsMappedBack(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://"+r.Host+"/next?a=b")
		w.Header().Set("Set-Cookie", "a=b; Domain=127.0.0.1; Path=/x")
		w.WriteHeader(http.StatusSeeOther)
	}))
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: `site: { http: { servers: ["` + strings.TrimPrefix(site.URL, "http://") + `"] } }`,
		Config:    `routes: [{ match: { path_prefix: /legacy }, upstream: site, rewrite: { strip_prefix: /legacy, host: UPSTREAM } }]`,
	})
	a := g.Do(t, "GET", "/legacy/form", "")
	if want := g.URL + "/legacy/next?a=b"; a.Header.Get("Location") != want {
		t.Errorf("Location is %q, want %q", a.Header.Get("Location"), want)
	}
	if got := a.Header.Get("Set-Cookie"); got != "a=b; Domain=127.0.0.1; Path=/legacy/x" { // the client's host, too
		t.Errorf("Set-Cookie is %q", got)
	}
}

// rawStatus sends a request as it stands, and returns the status of the answer.
func rawStatus(t *testing.T, address, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.80q: %v", request, err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
