package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// What a server does when it has written its answer.
const (
	holds = iota
	closes
	resets
)

// What a client may see of a hostile answer.
const (
	whole   = 1 << iota // the body, to its end
	refused             // 502
	cut                 // no end
)

// hostileAnswers are what servers answer that want to be more than one, or seem whole.
// "evil" in one reaches no client.
var hostileAnswers = []struct {
	name, answer string
	then, want   int
	body         string // of a whole answer
}{
	{"nothing", "", closes, refused, ""},
	{"a reset at once", "", resets, refused, ""},
	{"HTTP/0.9", "hello evil", closes, refused, ""},
	{"half a status line", "HTTP/1.1 20", closes, refused, ""},
	{"half a head", "HTTP/1.1 200 OK\r\nX-A: b\r\n", closes, refused, ""},
	{"half a head and a reset", "HTTP/1.1 200 OK\r\nX-A: b\r\n", resets, refused, ""},
	{"another version", "HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", holds, whole | refused, "abc"},
	{"a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"a status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"the status 000", "HTTP/1.1 000 OK\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"the status 099", "HTTP/1.1 099 OK\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"a reason with CR", "HTTP/1.1 200 OK\rX-Evil: evil\r\nContent-Length: 3\r\n\r\nabc", holds, whole | refused, "abc"},
	{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", holds, whole | refused, "abc"},
	{"chunks and a length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n3\r\nabc\r\n0\r\n\r\n", holds, whole | refused, "abc"},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 40\r\n\r\nabc", holds, refused, ""},
	{"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc", holds, refused, ""},
	{"a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", holds, refused, ""},
	{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", holds, refused, ""},
	{"a hexadecimal length", "HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc", holds, refused, ""},
	{"an endless length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc", holds, refused, ""},
	{"an unknown encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", holds, refused, ""},
	{"chunks of chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", holds, refused, ""},
	{"a vertical tab", "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", holds, refused, ""},
	{"a folded line", "HTTP/1.1 200 OK\r\nX-A: 1\r\n X-B: 2\r\nContent-Length: 3\r\n\r\nabc", holds, whole | refused, "abc"},
	{"a folded length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 3\r\n\r\nabc", holds, whole | refused, "abc"},
	{"a folded first line", "HTTP/1.1 200 OK\r\n X-Evil: evil\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"a bare CR in a value", "HTTP/1.1 200 OK\r\nX-A: a\rX-Evil: evil\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"two CRs in a value", "HTTP/1.1 200 OK\r\nX-A: a\r\r\nContent-Length: 3\r\n\r\nabc", holds, whole | refused, "abc"},
	{"a NUL in a value", "HTTP/1.1 200 OK\r\nX-A: a\x00evil\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"a control character in a value", "HTTP/1.1 200 OK\r\nX-A: a\x01evil\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"bare LFs", "HTTP/1.1 200 OK\nX-A: a\nContent-Length: 3\n\nabc", holds, whole | refused, "abc"},
	{"a name with a space", "HTTP/1.1 200 OK\r\nX Evil: evil\r\nContent-Length: 3\r\n\r\nabc", holds, whole | refused, "abc"},
	{"a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 1\r\nContent-Length: 3\r\n\r\nabc", holds, whole | refused, "abc"},
	{"a name with a NUL", "HTTP/1.1 200 OK\r\nX\x00Evil: evil\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"no name", "HTTP/1.1 200 OK\r\n: evil\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"no colon", "HTTP/1.1 200 OK\r\nevil\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"a pseudo-header", "HTTP/1.1 200 OK\r\n:status: 204\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"a large header", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 600<<10) + "\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"many headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: evil\r\n", 60_000) + "\r\n", holds, refused, ""},
	{"101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nevil", holds, refused, ""},
	{"a flood of 100", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10_000) + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"a flood of 103", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 10_000) + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"103 with a body", "HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\n\r\nevilHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", holds, refused, ""},
	{"103 alone", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", closes, refused, ""},
	{"a body that is too short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", closes, cut, ""},
	{"a reset within the body", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc", resets, cut, ""},
	{"a reset instead of the end", "HTTP/1.1 200 OK\r\n\r\nabc", resets, cut, ""},
	{"a body that is too long", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcevil", holds, whole, "abc"},
	{"an answer too many", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", holds, whole, "abc"},
	{"an answer behind chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", holds, whole, "abc"},
	{"204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", holds, whole | refused, ""},
	{"204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", holds, whole | refused, ""},
	{"304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", holds, whole | refused, ""},
	{"chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", closes, cut, ""},
	{"chunks without the last line", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", closes, cut, ""},
	{"a chunk that is too short", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc\r\n0\r\n\r\n", closes, cut, ""},
	{"a chunk that is too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", holds, cut, ""},
	{"a chunk of no size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", holds, cut, ""},
	{"a chunk of letters", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", holds, cut, ""},
	{"a chunk of negative size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", holds, cut, ""},
	{"a chunk of 0x", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", holds, cut, ""},
	{"a chunk without bounds", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n", holds, cut, ""},
	{"a long extension of a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("a", 100_000) + "\r\nabc\r\n0\r\n\r\n", holds, cut, ""},
	{"a trailer that frames", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Evil, Content-Length\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n", holds, whole | refused, "abc"},
	{"a large trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + strings.Repeat("X-A: evil\r\n", 100_000) + "\r\n", holds, cut, ""},
	{"a trailer with a bare CR", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n3\r\nabc\r\n0\r\nX-A: a\rX-Evil: evil\r\n\r\n", holds, cut | whole, "abc"},
	{"trailers of strange values alone", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n3\r\nabc\r\n0\r\nX-A: a\x01evil\r\nX-B: a\x7fevil\r\n\r\n", holds, whole | cut, "abc"},
	{"a trailer with a space in its name", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX Evil: evil\r\n\r\n", holds, whole | cut, "abc"},
}

// hostileSite answers /N with the hostile answer N, and all else soundly.
type hostileSite struct{ open, asked atomic.Int64 }

func (s *hostileSite) serve(c net.Conn, r *bufio.Reader) {
	s.open.Add(1)
	defer s.open.Add(-1)
	for {
		target, ok := readRequest(r)
		if !ok {
			return
		}
		s.asked.Add(1)
		n := -1
		if _, err := fmt.Sscanf(target, "/%d", &n); err != nil {
			n = -1
		}
		if n < 0 {
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsound"); err != nil {
				return
			}
			continue
		}
		hostile := hostileAnswers[n]
		if _, err := io.WriteString(c, hostile.answer); err != nil {
			return
		}
		switch hostile.then {
		case closes:
			return
		case resets:
			_ = c.(*net.TCPConn).SetLinger(0)
			return
		}
	}
}

// TestHostileAnswers: whatever a server answers, its client sees one answer, and the end of
// no answer that has none; the next request is answered by its own (Traffic 162).
func TestHostileAnswers(t *testing.T) {
	site := &hostileSite{}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", rawSite(t, site.serve)),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site }]\n",
	})
	if a := g.Do(t, "GET", "/sound", ""); a.Status != 200 || a.Body != "sound" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	log.SetOutput(io.Discard) // net/http's client writes what it reads on idle connections
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	before := runtime.NumGoroutine()
	for n, hostile := range hostileAnswers {
		t.Run("Traffic 162: "+hostile.name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				asked := site.asked.Load()
				hostileByHTTP1(t, g, method, n)
				hostileByHTTP2(t, g, method, n)
				if asked = site.asked.Load() - asked; asked > 10 {
					t.Errorf("%s: the server was asked %d times", method, asked)
				}
			}
		})
	}
	g.Client.CloseIdleConnections()
	g.HTTP2.CloseIdleConnections()
	poll.Until(t, "connections to the server to end", func() bool { return site.open.Load() <= 2 })
	poll.Until(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+8 })
}

// saw checks what a client saw of a hostile answer.
func saw(t *testing.T, by string, n int, head bool, status int, body string, err error) {
	t.Helper()
	want := hostileAnswers[n].want
	if head {
		want |= whole | refused // there is no body that may be wrong
	}
	var got int
	switch {
	case err != nil:
		got = cut
	case status == http.StatusBadGateway:
		got = refused
	default:
		got = whole
	}
	if got&want == 0 {
		t.Errorf("%s: %d %.200q, %v", by, status, body, err)
	}
	if got == whole && !head && want&whole != 0 && body != hostileAnswers[n].body {
		t.Errorf("%s: the body is %.200q", by, body)
	}
}

func hostileByHTTP1(t *testing.T, g *gatewaytest.Gateway, method string, n int) {
	t.Helper()
	c := dialRaw(t, g.Addr, fmt.Sprintf("%s /%d HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n", method, n))
	defer func() { _ = c.Close() }()
	var raw bytes.Buffer
	r := bufio.NewReader(io.TeeReader(c, &raw))
	asked, err := http.NewRequest(method, "/", nil) //nolint:noctx // it only says how the answer is read
	if err != nil {
		t.Fatal(err)
	}
	response, body, err := readAnswer(r, asked)
	by := method + " by HTTP/1.1"
	if response == nil { // the connection ended before anything of the answer was sent
		if hostileAnswers[n].want&cut == 0 {
			t.Errorf("%s: %v", by, err)
		}
		return
	}
	saw(t, by, n, method == "HEAD", response.StatusCode, body, err)
	if err == nil && response.ContentLength >= 0 && len(response.TransferEncoding) > 0 {
		t.Errorf("%s: a length and chunks", by)
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding"} {
		if response.Trailer[name] != nil {
			t.Errorf("%s: the trailer %s", by, name)
		}
	}
	if err == nil && !response.Close {
		if _, err := io.WriteString(c, "GET /sound HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if next, body, err := readAnswer(r, nil); err != nil || next.StatusCode != 200 || body != "sound" {
			t.Errorf("%s: the next request is answered by %.200q, %v", by, body, err)
		}
	}
	_, _ = io.Copy(io.Discard, r)
	text := raw.String()
	if strings.Contains(text, "evil") || strings.ContainsAny(text, "\x00\x01") || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
		t.Errorf("%s: it is sent\n%.500q", by, text)
	}
}

// readAnswer reads an answer past the informational ones.
func readAnswer(r *bufio.Reader, to *http.Request) (*http.Response, string, error) {
	for {
		response, err := http.ReadResponse(r, to)
		if err != nil {
			return nil, "", err
		}
		if response.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(response.Body)
		return response, string(body), err
	}
}

func hostileByHTTP2(t *testing.T, g *gatewaytest.Gateway, method string, n int) {
	t.Helper()
	by := method + " by HTTP/2"
	ctx, cancel := context.WithTimeout(t.Context(), rawPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/%d", g.URL, n), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Te", "trailers")
	response, err := g.HTTP2.Do(request)
	if err != nil {
		if hostileAnswers[n].want&cut == 0 { // it may be reset before its header is sent
			t.Errorf("%s: %v", by, err)
		}
		return
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode == http.StatusNotModified && response.ContentLength > 0 {
		err = nil // net/http's client wants the body of that length, which it has not (RFC 9110, 8.6)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%s: it has no end", by)
	}
	saw(t, by, n, method == "HEAD", response.StatusCode, string(body), err)
	for _, header := range []http.Header{response.Header, response.Trailer} {
		for name, values := range header {
			if text := name + ": " + strings.Join(values, ","); strings.ContainsAny(text, "\r\n\x00\x01") || strings.Contains(text, "evil") {
				t.Errorf("%s: %q", by, text)
			}
		}
	}
	if strings.Contains(string(body), "evil") {
		t.Errorf("%s: %.200q", by, body)
	}
	if a := g.DoWith(t, g.HTTP2, "GET", "/sound", ""); a.Status != 200 || a.Body != "sound" {
		t.Errorf("%s: the next request: %d %s", by, a.Status, a.Body)
	}
}
