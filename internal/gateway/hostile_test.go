package gateway_test

import (
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestPathHasTheLastWord: what the path says holds, whatever the body says
// (Semantics 13).
func TestPathHasTheLastWord(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	a := g.Do(t, "PATCH", "/v1/shelves/1/books/1", `{"name": "shelves/2/books/1", "pages": 9}`)
	if a.Status != 200 || contains(a.Body, `{"name": "shelves/1/books/1", "pages": 9}`) != nil {
		t.Errorf("Semantics 13: %d %s", a.Status, a.Body)
	}
}

// http2Request sends raw header fields over cleartext HTTP/2 and returns the
// status of the answer, "" for a stream that was reset.
func http2Request(t *testing.T, g *gatewaytest.Gateway, fields ...string) string {
	t.Helper()
	all := append([]string{":method", "GET", ":scheme", "http", ":authority", g.Addr, ":path", "/v1/shelves/1"}, fields...)
	return http2Exchange(t, g, all, "")
}

// answeredStatus reads the status of the next answer: "" where the stream or the
// connection was ended instead.
func answeredStatus(framer *http2.Framer) (string, error) {
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "", err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status"), nil
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "", nil
		}
	}
}

func TestConnectionHeadersOnHTTP2(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	if got := http2Request(t, g); got != "200" {
		t.Fatalf("a good request: %q", got)
	}
	if got := http2Request(t, g, "te", "trailers"); got != "200" {
		t.Errorf("Semantics 52: te: trailers: %q", got)
	}
	for _, field := range [][]string{
		{"connection", "close"}, {"proxy-connection", "close"}, {"keep-alive", "1"},
		{"transfer-encoding", "chunked"}, {"upgrade", "h2c"}, {"te", "gzip"}, {"te", "trailers, gzip"},
	} {
		if got := http2Request(t, g, field...); got != "400" && got != "" {
			t.Errorf("Semantics 52: %v: %q, want 400 or a reset stream", field, got)
		}
	}
}

// TestSmuggling sends what two HTTP/1.1 parsers may read in two ways
// (Semantics 52).
func TestSmuggling(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for name, text := range map[string]string{
		"two lengths":       "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"obs-fold":          "GET /v1/shelves/1 HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\n\r\n",
		"bare CR":           "GET /v1/shelves/1 HTTP/1.1\r\nHost: x\r\nX-A: 1\rX-B: 2\r\n\r\n",
		"space before ':'":  "GET /v1/shelves/1 HTTP/1.1\r\nHost: x\r\nX-A : 1\r\n\r\n",
		"unknown encoding":  "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n",
		"two hosts":         "GET /v1/shelves/1 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"no chunk":          "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
		"a longer chunk":    "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
		"LF after a chunk":  "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
		"an endless chunk":  "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11112222333344445\r\n{}\r\n0\r\n\r\n",
		"a stream's chunk":  "POST /v1/discuss:stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
		"malformed escapes": "GET /v1/shelves/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", g.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 12)
		_, err = io.ReadFull(conn, head)
		_ = conn.Close()
		if status := string(head[9:]); err == nil && status != "400" && status != "501" && name != "obs-fold" {
			t.Errorf("Semantics 52: %s: %s", name, status)
		}
	}
}
