package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// shadow is a site that copies go to.
type shadow struct {
	mu       sync.Mutex
	requests []copied
}

// copied is one copy.
type copied struct {
	line, body string
	header     http.Header
	length     int64
}

func (s *shadow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // the test looks
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, copied{r.Method + " " + r.RequestURI, string(body), r.Header, r.ContentLength})
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write(make([]byte, 1<<20)) // nobody reads it
}

// take waits for so many copies and returns them in the order of their lines.
func (s *shadow) take(t *testing.T, n int) []copied {
	t.Helper()
	var list []copied
	poll.Until(t, "the copies", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		list = s.requests
		return len(list) >= n
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	slices.SortFunc(list, func(a, b copied) int { return strings.Compare(a.line, b.line) })
	if len(list) != n {
		t.Fatalf("%d copies, want %d: %v", len(list), n, list)
	}
	return list
}

// startMirroredRoute starts a gateway whose requests are copied to an address.
func startMirroredRoute(t *testing.T, address, mirror, more string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }, shadow: { http: { servers: [%q], credentials: { bearer: of-the-gateway } } }, plain: { http: { servers: [%q] } }", startSite(t), address, address),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site, policy: { mirror: { upstream: shadow, " + mirror + " } } }" + more + "]",
	})
}

// routeMirrored waits until the metrics say that so often something became of copies.
func routeMirrored(t *testing.T, g *gatewaytest.Gateway, result string, n int) {
	t.Helper()
	poll.Until(t, result, func() bool {
		return strings.Contains(metricsOf(g), fmt.Sprintf("transom_policy_decisions_total{policy=\"mirror\",result=%q,rpc=\"/**\"} %d\n", result, n))
	})
}

// TestMirrorOfRoutes: Traffic 208: requests of a route are copied with their bodies, marked,
// as far as they may be made twice and are not too large; what the client gets is the same.
func TestMirrorOfRoutes(t *testing.T) {
	var s shadow
	server := httptest.NewServer(&s)
	t.Cleanup(server.Close)
	g := startMirroredRoute(t, strings.TrimPrefix(server.URL, "http://"), "percent: 100",
		`, { match: { path_prefix: /red }, upstream: site, rewrite: { strip_prefix: /red }, policy: { headers: { request: { set: { X-Set: "1" } } }, mirror: { upstream: plain, side_effects: true, redact: true } } }`)
	large := strings.Repeat("x", 256<<10)
	for _, test := range []struct {
		name, method, path, body string
		chunked                  bool
		header                   []string
		line                     string // "" for no copy
		has                      []string
	}{
		{"no body", "GET", "/a?b=c;d&access_token=t", "", false, []string{"X-Transom-Mirror", "forged", "Authorization", "Bearer x", "Cookie", "a=b"}, "GET /a?b=c;d&access_token=t",
			[]string{"X-Transom-Mirror: 1", "Authorization: Bearer of-the-gateway", "Cookie: a=b", "X-Forwarded-For: 127.0.0.1", "Via: 1.1 "}},
		{"a body", "PUT", "/a", "hello", false, []string{"Content-Type", "text/plain", "Expect", "100-continue"}, "PUT /a", []string{"Content-Type: text/plain"}},
		{"chunks", "DELETE", "/a", "hello", true, nil, "DELETE /a", nil},
		{"256 KiB", "PUT", "/a", large, false, nil, "PUT /a", nil},
		{"256 KiB in chunks", "PUT", "/a", large, true, nil, "PUT /a", nil},
		{"more", "PUT", "/a", large + "x", false, nil, "", nil},
		{"more in chunks", "PUT", "/a", large + "x", true, nil, "", nil},
		{"side effects", "POST", "/a", "hello", false, nil, "", nil},
		{"side effects that may be", "POST", "/red/a?x=1&token=t", "hello", false, []string{"Authorization", "Bearer x", "Cookie", "a=b", "X-Api-Key", "k"}, "POST /a?x=1", []string{"X-Set: 1"}},
		{"HEAD", "HEAD", "/a", "", false, nil, "HEAD /a", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var body io.Reader
			if body = strings.NewReader(test.body); test.chunked {
				body = struct{ io.Reader }{body}
			} else if test.body == "" {
				body = nil
			}
			r, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+g.Addr+test.path, body)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(test.header); i += 2 {
				r.Header.Set(test.header[i], test.header[i+1])
			}
			a, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(a.Body)
			if err != nil || a.StatusCode != 200 || test.method != "HEAD" && !strings.Contains(string(answer), "body="+test.body+"\n") {
				t.Fatalf("%s, %d bytes, %v", a.Status, len(answer), err)
			}
			if test.line == "" {
				return // the next one shows that there is no copy
			}
			c := s.take(t, 1)[0]
			if c.line != test.line || c.body != test.body || c.length != int64(len(test.body)) {
				t.Errorf("the copy is %s with %d bytes, length %d", c.line, len(c.body), c.length)
			}
			var text strings.Builder
			_ = c.header.Write(&text) // it never fails
			for _, want := range test.has {
				if !strings.Contains(text.String(), want) {
					t.Errorf("the copy has no %q in\n%s", want, text.String())
				}
			}
			if strings.Contains(text.String(), "Expect") || strings.Contains(test.path, "/red") && strings.ContainsAny(text.String(), "=") {
				t.Errorf("the copy has\n%s", text.String())
			}
		})
	}
	routeMirrored(t, g, "answered", 6)
	routeMirrored(t, g, "too_large", 2)
	s.take(t, 0)
}

// TestMirrorOfRoutesInTrouble: Traffic 208: a mirror that hangs, refuses, or breaks off delays
// no request and has none fail, and at most 100 copies are under way, those included whose
// bodies still come.
func TestMirrorOfRoutesInTrouble(t *testing.T) {
	end := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hangs.Close)
	t.Cleanup(func() { close(end) })
	breaks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(breaks.Close)
	for name, test := range map[string]struct {
		address, result string
		calls, counted  int
	}{
		"hangs":      {strings.TrimPrefix(hangs.URL, "http://"), "too_many", 120, 20},
		"refuses":    {loopback.Address(t), "failed", 5, 5},
		"breaks off": {strings.TrimPrefix(breaks.URL, "http://"), "failed", 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			g := startMirroredRoute(t, test.address, "percent: 100", "")
			for range test.calls {
				if a := g.Do(t, "PUT", "/a", "hello"); a.Status != 200 || !strings.Contains(a.Body, "body=hello\n") {
					t.Fatalf("%d %s", a.Status, a.Body)
				}
			}
			routeMirrored(t, g, test.result, test.counted)
		})
	}
}

// TestMirrorOfUnfinished: Traffic 208: a request whose body does not come to its end is not
// copied, nor is an upgrade, and both leave the place of their copies to others.
func TestMirrorOfUnfinished(t *testing.T) {
	var s shadow
	server := httptest.NewServer(&s)
	t.Cleanup(server.Close)
	g := startMirroredRoute(t, strings.TrimPrefix(server.URL, "http://"), "side_effects: true",
		`, { match: { path_prefix: /small }, upstream: site, policy: { limits: { max_body_bytes: 3 }, mirror: { upstream: plain, side_effects: true } } }`)
	for i := range 101 {
		conn, err := net.Dial("tcp", g.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello"); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // all others may end before they are read
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // it is one
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // it is open
			_, _ = http.ReadResponse(bufio.NewReader(conn), nil)       // an error, or none
			routeMirrored(t, g, "incomplete", 1)
		}
		_ = conn.Close() // nobody reads
	}
	routeMirrored(t, g, "incomplete", 101)
	c, _, err := websocket.Dial(t.Context(), "ws://"+g.Addr+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := c.Read(t.Context()); err != nil || string(text) != "echo hello" {
		t.Errorf("%s, %v", text, err)
	}
	_ = c.CloseNow() // it was read
	for _, body := range []io.Reader{strings.NewReader("hello"), struct{ io.Reader }{strings.NewReader("hello")}} {
		a, err := http.Post("http://"+g.Addr+"/small", "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close() // nobody reads it
		if a.StatusCode != 413 {
			t.Errorf("too large a body: %s", a.Status)
		}
	}
	if a := g.Do(t, "POST", "/b", "hello"); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if c := s.take(t, 1)[0]; c.line != "POST /b" || c.body != "hello" {
		t.Errorf("%v", c)
	}
}
