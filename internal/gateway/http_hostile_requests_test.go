package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

// keepingSite keeps what it was asked: the heads as they came, and the bodies.
type keepingSite struct {
	mu    sync.Mutex
	heads []string
	asked []string // method, target and body
	wrong []string // what was no request
}

func (s *keepingSite) serve(c net.Conn, _ *bufio.Reader) {
	var raw bytes.Buffer
	r := bufio.NewReader(io.TeeReader(c, &raw))
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			if err != io.EOF && !strings.Contains(err.Error(), "closed") && !strings.Contains(err.Error(), "reset") {
				s.keep(&s.wrong, fmt.Sprintf("%v in %q", err, raw.String()))
			}
			return
		}
		head, _, _ := strings.Cut(raw.String(), "\r\n\r\n")
		raw.Reset()
		s.keep(&s.heads, head)
		body, err := io.ReadAll(request.Body)
		if err != nil {
			s.keep(&s.asked, request.Method+" "+request.RequestURI+" cut")
			return
		}
		raw.Reset() // a body that came behind its head is no part of the next one
		s.keep(&s.asked, request.Method+" "+request.RequestURI+" "+string(body))
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsound"); err != nil {
			return
		}
	}
}

func (s *keepingSite) keep(at *[]string, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*at = append(*at, text)
}

// take returns what was asked since the last take.
func (s *keepingSite) take() (asked, heads, wrong []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, heads, wrong = s.asked, s.heads, s.wrong
	s.asked, s.heads, s.wrong = nil, nil, nil
	return asked, heads, wrong
}

// startKeeping starts a gateway with one route to such a server.
func startKeeping(t *testing.T) (*keepingSite, *gatewaytest.Gateway) {
	t.Helper()
	site := &keepingSite{}
	return site, gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", rawSite(t, site.serve)),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site }]\n",
	})
}

const innerRequest = "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"

// hostileRequests are what two parsers of HTTP/1.1 may take for different requests. passes
// is what may reach the server of it: its method, target and body; "" for nothing.
var hostileRequests = []struct{ name, text, passes string }{
	{"length and chunks", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + innerRequest, ""},
	{"chunks and length", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 64\r\n\r\n0\r\n\r\n" + innerRequest, ""},
	{"two lengths", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + innerRequest, ""},
	{"one length twice", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", ""},
	{"a list of lengths", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}", ""},
	{"a length with a sign", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}", ""},
	{"a negative length", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}", ""},
	{"a length with a space", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2 2\r\n\r\n{}", ""},
	{"an empty length", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n" + innerRequest, ""},
	{"a length of an underscore", "POST /a HTTP/1.1\r\nHost: x\r\nContent_Length: 60\r\n\r\n", "POST /a "},
	{"chunks of an underscore", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", "POST /a {}"},
	{"obs-fold", "GET /a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n", ""},
	{"a folded encoding", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n\r\n{}", ""},
	{"bare CR", "GET /a HTTP/1.1\r\nHost: x\r\nX-A: 1\rX-B: 2\r\n\r\n", ""},
	{"NUL", "GET /a HTTP/1.1\r\nHost: x\r\nX-A: 1\x00\r\n\r\n", ""},
	{"space before ':'", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}", ""},
	{"space in a name", "GET /a HTTP/1.1\r\nHost: x\r\nX A: 1\r\n\r\n", ""},
	{"space before the first name", "GET /a HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n", ""},
	{"unknown encoding", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n", ""},
	{"encoding of a tab", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\nContent-Length: 2\r\n\r\n{}", ""},
	{"two encodings", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", ""},
	{"chunks of HTTP/1.0", "POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + innerRequest, ""},
	{"two hosts", "GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", ""},
	{"a host with a slash", "GET /a HTTP/1.1\r\nHost: x/evil\r\n\r\n", ""},
	{"another host in the target", "GET http://other.example/a HTTP/1.1\r\nHost: evil\r\n\r\n", ""},
	{"another port in the target", "GET http://evil:81/a HTTP/1.1\r\nHost: evil\r\n\r\n", ""},
	{"the same host in the target", "GET http://EVIL:80/a HTTP/1.1\r\nHost: evil\r\n\r\n", "GET /a "},
	{"HTTP/0.9", "GET /a\r\n\r\n", ""},
	{"a space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	{"a method with a tab", "GET\t/a HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	{"CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", ""},
	{"TRACE", "TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	{"no chunk", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + innerRequest, "POST /a cut"},
	{"a longer chunk", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n" + innerRequest, "POST /a cut"},
	{"LF after a chunk", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + innerRequest, "POST /a cut"},
	{"an endless chunk", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11112222333344445\r\n{}\r\n0\r\n\r\n", "POST /a cut"},
	{"a negative chunk", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", "POST /a cut"},
	{"CR in a chunk's extension", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r0\r\n{}\r\n0\r\n\r\n", "POST /a cut"},
	{"LF in a chunk's extension", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\n0\r\n\r\n" + innerRequest, "POST /a cut"},
	{"a trailer that frames", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 90\r\n\r\n", "POST /a cut"},
	{"a trailer nobody announced", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nTransfer-Encoding: x\r\nHost: evil\r\n\r\n", "POST /a {}"},
	{"a trailer with a space", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX Evil: 1\r\n\r\n", "POST /a {}"},
	{"a body that is cut", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{}", "POST /a cut"},
	{"chunks that are cut", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "POST /a cut"},
	{"a request within a body", fmt.Sprintf("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(innerRequest), innerRequest), "POST /a " + innerRequest},
	{"a GET with a body", fmt.Sprintf("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(innerRequest), innerRequest), "GET /a " + innerRequest},
	{"a HEAD with chunks", "HEAD /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "HEAD /a {}"},
	{"Connection: Content-Length", "POST /a HTTP/1.1\r\nHost: x\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\n{}", "POST /a {}"},
	{"Connection: Host", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Host, X-Forwarded-For, Transfer-Encoding\r\n\r\n", "GET /a "},
}

// TestHostileRequests sends what is tried on methods to a route: the server gets whole
// requests as they are meant, broken ones, or nothing (Traffic 162, Semantics 52).
func TestHostileRequests(t *testing.T) {
	site, g := startKeeping(t)
	if a := g.Do(t, "GET", "/sound", ""); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for n, hostile := range hostileRequests {
		text := strings.ReplaceAll(hostile.text, "/a", fmt.Sprintf("/a%d", n))
		for _, before := range []string{"", "GET /sound HTTP/1.1\r\nHost: x\r\n\r\n"} {
			c := dialRaw(t, g.Addr, before+text)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			if a := g.Do(t, "GET", "/sound", ""); a.Status != 200 || a.Body != "sound" {
				t.Errorf("Traffic 162: behind %s: %d %s", hostile.name, a.Status, a.Body)
			}
		}
	}
	// Whole requests whose clients are gone may be at the server late.
	asked, heads, wrong := site.take()
	for _, request := range asked {
		n := 0
		if _, err := fmt.Sscanf(request[strings.Index(request, " ")+1:], "/a%d", &n); err != nil {
			if request != "GET /sound " {
				t.Errorf("Traffic 162: the server is asked %q", request)
			}
			continue
		}
		want := hostileRequests[n].passes
		if want == "" || !strings.HasSuffix(request, " cut") && request != strings.Replace(want, "/a", fmt.Sprintf("/a%d", n), 1) {
			t.Errorf("Traffic 162: %s: the server is asked %q, want %q", hostileRequests[n].name, request, want)
		}
	}
	for _, head := range heads {
		wantOneFraming(t, head)
	}
	if len(wrong) > 0 {
		t.Errorf("Traffic 162: the server gets what is no request: %q", wrong)
	}
}

// wantOneFraming checks a head as a server gets it.
func wantOneFraming(t *testing.T, head string) {
	t.Helper()
	framing, hosts := 0, 0
	for line := range strings.SplitSeq(head, "\r\n") {
		name, _, _ := strings.Cut(strings.ToLower(line), ":")
		switch strings.ReplaceAll(name, "_", "-") {
		case "content-length", "transfer-encoding":
			framing++
		case "host":
			hosts++
		}
		if strings.ContainsAny(line, "\r\n\x00") || strings.HasPrefix(line, " ") || strings.Contains(line, "evil") && !strings.HasPrefix(line, "X-Forwarded") {
			t.Errorf("the server gets the line %q", line)
		}
	}
	if framing > 1 || hosts != 1 {
		t.Errorf("the server gets\n%s", head)
	}
}

// TestHostileHTTP2OfRoutes sends header blocks that RFC 9113 calls malformed to a route
// (Traffic 162, Semantics 52).
func TestHostileHTTP2OfRoutes(t *testing.T) {
	site, g := startKeeping(t)
	for _, fields := range [][]string{
		{"connection", "close"}, {"proxy-connection", "close"}, {"keep-alive", "1"}, {"transfer-encoding", "chunked"}, {"upgrade", "h2c"}, {"te", "gzip"},
		{"x-a", "b\r\ntransfer-encoding: chunked"}, {"x-a", "b\nx: y"}, {"x-a", "b\x00"}, {"x a", "b"}, {"x:a", "b"}, {"", "b"}, {"X-Upper", "b"},
		{"host", "evil.example"}, {"content-length", "3"}, {"content-length", "+2"}, {"content-length", "2, 2"}, {":path", "/evil"}, {":evil", "b"},
	} {
		all := append([]string{":method", "POST", ":scheme", "http", ":authority", g.Addr, ":path", "/a"}, fields...)
		if got := http2Exchange(t, g, all, "{}"); got != "" && got != "400" {
			t.Errorf("Traffic 162: %q: %q, want 400 or a reset stream", fields, got)
		}
	}
	for _, path := range []string{"", "a", "/a b", "/a HTTP/1.1\r\nx: y", "/a#b", "http://evil.example/", "*", "/a\x00", "/a?b c", "/a\tb"} {
		all := []string{":method", "GET", ":scheme", "http", ":authority", g.Addr, ":path", path}
		if got := http2Exchange(t, g, all, ""); got != "" && got != "400" && got != "404" {
			t.Errorf("Traffic 162: the path %q: %q, want a refusal or a reset stream", path, got)
		}
	}
	for _, method := range []string{"GET /evil HTTP/1.1\r\nHost: x\r\n\r\nGET", "G T", "", "CONNECT", "TRACE"} {
		all := []string{":method", method, ":scheme", "http", ":authority", g.Addr, ":path", "/a"}
		if got := http2Exchange(t, g, all, ""); got == "200" {
			t.Errorf("Traffic 162: the method %q: %q", method, got)
		}
	}
	if a := g.Do(t, "GET", "/sound", ""); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	asked, _, wrong := site.take()
	for _, request := range asked {
		if request != "GET /sound " && !strings.HasSuffix(request, " cut") {
			t.Errorf("the server is asked %q", request)
		}
	}
	if len(wrong) > 0 {
		t.Errorf("the server gets %q", wrong)
	}
}
