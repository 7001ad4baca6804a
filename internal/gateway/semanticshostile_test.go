package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// http2Exchange sends a header block as it is, and the data if there are any,
// and returns the status, "" for a stream or connection that was reset.
func http2Exchange(t *testing.T, g *gatewaytest.Gateway, fields []string, data string) string {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: data == "", EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	if data != "" {
		_ = framer.WriteData(1, true, []byte(data)) // it fails where the server has closed already
	}
	status, err := answeredStatus(framer)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("no answer")
	}
	return status
}

// TestHostileHTTP2 sends header blocks and lengths that RFC 9113 calls
// malformed. None of them may reach the backend.
func TestHostileHTTP2(t *testing.T) {
	keeper, g := startDoors(t)
	start := []string{":method", "POST", ":scheme", "http", ":authority", g.Addr, ":path", "/Open/ask", "content-type", "application/json"}
	with := func(fields ...string) []string { return append(start[:len(start):len(start)], fields...) }
	without := func(name string) (rest []string) {
		for i := 0; i < len(start); i += 2 {
			if start[i] != name {
				rest = append(rest, start[i], start[i+1])
			}
		}
		return rest
	}
	instead := func(name, value string) []string {
		return append([]string{name, value}, without(name)...)
	}
	if got := http2Exchange(t, g, with("x-case", "a good one", "content-length", "2"), "{}"); got != "200" || len(keeper.of("a good one")) != 1 {
		t.Fatalf("a good request: %q", got)
	}
	if got := http2Exchange(t, g, append(instead(":authority", "a.example:80"), "host", "A.example", "x-case", "its host"), "{}"); got != "200" || len(keeper.of("its host")) != 1 {
		t.Errorf("a request with its host twice: %q", got)
	}
	for name, fields := range map[string][]string{
		"an upper-case name":           with("X-Upper", "a"),
		"a name with a space":          with("x a", "b"),
		"a name with a colon":          with("x:a", "b"),
		"an empty name":                with("", "b"),
		"a line feed in a value":       with("x-a", "b\nx-transom-principal: root"),
		"CRLF in a value":              with("x-a", "b\r\nx-transom-principal: root"),
		"a carriage return in a value": with("x-a", "b\rc"),
		"a zero byte in a value":       with("x-a", "b\x00c"),
		"a pseudo-header at the end":   with(":path", "/Open/watch"),
		"an unknown pseudo-header":     append([]string{":door", "open"}, start...),
		"one of answers":               append([]string{":status", "200"}, start...),
		"two paths":                    append([]string{":path", "/Jwt/ask"}, start...),
		"two methods":                  append([]string{":method", "GET"}, start...),
		"two authorities":              append([]string{":authority", "other.example"}, start...),
		"no method":                    without(":method"),
		"no path":                      without(":path"),
		"no scheme":                    without(":scheme"),
		"an empty path":                instead(":path", ""),
		"a path without a slash":       instead(":path", "Open/ask"),
		"a path with a space":          instead(":path", "/Open/ask HTTP/1.1"),
		"a path with a fragment":       instead(":path", "/Open/ask#a"),
		"a query with a fragment":      instead(":path", "/Open/ask?a#b"),
		"a query with a space":         instead(":path", "/Open/ask?a b"),
		"a URL for a path":             instead(":path", "http://evil.example/Open/ask"),
		"a URL of no scheme we know":   instead(":path", "evil:/Open/ask"),
		"another host":                 with("host", "evil.example"),
		"two hosts":                    with("host", g.Addr, "host", "evil.example"),
		"a path with CRLF":             instead(":path", "/Open/ask\r\nx: y"),
		"a method with a space":        instead(":method", "PO ST"),
		"a method with CRLF":           instead(":method", "POST / HTTP/1.1\r\nx: y"),
		"an authority with a slash":    instead(":authority", "a/b"),
		"an authority with CRLF":       instead(":authority", "a\r\nx: y"),
		"an authority with a user":     instead(":authority", "root@a"),
		"two lengths":                  with("content-length", "2", "content-length", "3"),
		"a list of lengths":            with("content-length", "2, 3"),
		"too small a length":           with("content-length", "1"),
		"too large a length":           with("content-length", "3"),
		"no length":                    with("content-length", "two"),
		"a negative length":            with("content-length", "-2"),
		"a length with a sign":         with("content-length", "+2"),
		"transfer-encoding":            with("transfer-encoding", "chunked"),
		"connection":                   with("connection", "x-transom-principal"),
	} {
		t.Run("Semantics 52: "+name, func(t *testing.T) {
			fields = append(fields[:len(fields):len(fields)], "x-case", t.Name())
			if got := http2Exchange(t, g, fields, "{}"); got != "" && got != "400" && got != "404" && got != "405" {
				t.Errorf("answered %q, want a refusal or a reset stream", got)
			}
			if told := keeper.of(t.Name()); len(told) > 0 {
				t.Errorf("the backend was called with %v", told)
			}
		})
	}
}

// TestFoldedHeaders: what a client folds over two lines reaches the backend on
// one, if at all.
func TestFoldedHeaders(t *testing.T) {
	keeper, g := startDoors(t)
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprint(conn, "POST /Open/ask HTTP/1.1\r\nHost: x\r\nX-Case: folded\r\nX-A: 1\r\n X-Transom-Principal: root\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	for _, md := range keeper.of("folded") {
		if len(md.Get("x-transom-principal")) > 0 || strings.ContainsAny(strings.Join(md.Get("x-a"), ""), "\r\n") {
			t.Errorf("Semantics 52: the backend is told %v", md)
		}
	}
}

// TestBothFramings: a request that has a length and chunks is framed by its
// chunks (RFC 9112, 6.3), so what follows them is the only next request.
func TestBothFramings(t *testing.T) {
	keeper, g := startDoors(t)
	a := g.Do(t, http.MethodPost, "/Open/ask", "{}", "X-Case", "plain")
	if a.Status != 200 || len(keeper.of("plain")) != 1 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const inner = "POST /Open/ask HTTP/1.1\r\nHost: x\r\nX-Case: inner\r\nContent-Length: 0\r\n\r\n"
	if _, err := fmt.Fprintf(conn, "POST /Open/ask HTTP/1.1\r\nHost: x\r\nX-Case: outer\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
		len(inner), inner); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	if n := len(keeper.of("inner")); n != 0 {
		t.Errorf("Semantics 52: the body of a request was taken for %d others", n)
	}
}
