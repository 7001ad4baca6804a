package gateway_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// plainText is what the site of these tests answers with.
var plainText = strings.Repeat("all work and no play ", 200)

// startTexts starts a site whose answers have the header that the query names, with
// plainText, or as many bytes of it as n says, known in advance unless the path is
// /chunked. /short flushes a little first; /cut breaks off.
func startTexts(t *testing.T) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, n := http.StatusOK, len(plainText)
		for name, values := range r.URL.Query() {
			switch name {
			case "status":
				_, _ = fmt.Sscan(values[0], &status)
			case "n":
				_, _ = fmt.Sscan(values[0], &n)
			default:
				w.Header()[name] = values
			}
		}
		text := plainText[:n]
		if r.URL.Path != "/chunked" && r.URL.Path != "/short" {
			w.Header().Set("Content-Length", fmt.Sprint(n))
		}
		w.WriteHeader(status)
		switch r.URL.Path {
		case "/short":
			_, _ = io.WriteString(w, text[:10])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		case "/cut":
			_, _ = io.WriteString(w, text[:n-1])
			_ = http.NewResponseController(w).Flush() // or there would be no answer
			panic(http.ErrAbortHandler)
		case "/chunked":
			_ = http.NewResponseController(w).Flush() // or net/http would say the length
		}
		if status != http.StatusNotModified && status != http.StatusNoContent {
			_, _ = io.WriteString(w, text)
		}
	}))
	t.Cleanup(site.Close)
	return strings.TrimPrefix(site.URL, "http://")
}

// startCompressing starts a gateway in front of such a site.
func startCompressing(t *testing.T) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("texts: { http: { servers: [%q] } }", startTexts(t)),
		Config: `
routes:
  - { match: { path_prefix: / }, upstream: texts, compression: {} }
  - { match: { path_prefix: /own }, upstream: texts, compression: { types: ["image/*", "application/vnd.own"], min_bytes: 10 } }
  - { match: { path_prefix: /off }, upstream: texts }
`,
	})
}

// inflated reads a body in an encoding.
func inflated(t *testing.T, encoding string, body io.Reader) string {
	t.Helper()
	switch encoding {
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = z
	case "br":
		body = brotli.NewReader(body)
	case "zstd":
		z, err := zstd.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		body = z
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("%s: %v", encoding, err)
	}
	return string(text)
}

// TestCompressionOfRoutes: Traffic 161: answers of a route are compressed where that helps and
// does no harm, over HTTP/1.1 and HTTP/2.
func TestCompressionOfRoutes(t *testing.T) {
	g := startCompressing(t)
	const text = "?Content-Type=text/plain"
	for _, test := range []struct {
		name, path string
		header     []string
		encoding   string // "" for none
		vary       bool
		more       []string // "Name: value" of the answer; "Name:" for none
	}{
		{"text", "/t" + text, nil, "gzip", true, []string{"Content-Length:"}},
		{"with a charset", "/t" + text + ";charset=utf-8", nil, "gzip", true, nil},
		{"in capitals", "/t?Content-Type=Application/JSON", nil, "gzip", true, nil},
		{"a kind of JSON", "/t?Content-Type=application/problem%2Bjson", nil, "gzip", true, nil},
		{"SVG", "/t?Content-Type=image/svg%2Bxml", nil, "gzip", true, nil},
		{"of unknown length", "/chunked" + text, nil, "gzip", true, nil},
		{"zstd is liked best", "/t" + text, []string{"Accept-Encoding", "gzip, br, zstd"}, "zstd", true, nil},
		{"brotli by weight", "/t" + text, []string{"Accept-Encoding", "gzip;q=0.5, br"}, "br", true, nil},
		{"nothing is taken", "/t" + text, []string{"Accept-Encoding", "identity"}, "", true, []string{fmt.Sprintf("Content-Length: %d", len(plainText))}},
		{"gzip is not taken", "/t" + text, []string{"Accept-Encoding", "gzip;q=0"}, "", true, nil},
		{"an error", "/t" + text + "&status=500", nil, "gzip", true, nil},
		{"1024 bytes", "/t" + text + "&n=1024", nil, "gzip", true, nil},
		{"1023 bytes", "/t" + text + "&n=1023", nil, "", true, []string{"Content-Length: 1023"}},
		{"events", "/t?Content-Type=text/event-stream", nil, "", false, nil},
		{"gRPC", "/t?Content-Type=application/grpc%2Bjson", nil, "", false, nil},
		{"Connect", "/t?Content-Type=application/connect%2Bjson", nil, "", false, nil},
		{"an image", "/t?Content-Type=image/png", nil, "", false, nil},
		{"no type", "/t?X=1&Content-Type=", nil, "", false, nil},
		{"a range", "/t" + text + "&status=206&Content-Range=bytes+0-4199/9999", []string{"Range", "bytes=0-4199"}, "", false, []string{"Content-Range: bytes 0-4199/9999"}},
		{"no-transform", "/t" + text + "&Cache-Control=public,+No-Transform", nil, "", false, nil},
		{"no-transform of the client", "/t" + text, []string{"Cache-Control", "no-transform"}, "", false, nil},
		{"encoded", "/t" + text + "&Content-Encoding=aes128gcm", nil, "aes128gcm", false, nil},
		{"a digest", "/t" + text + "&Content-Digest=sha-256=:AA==:", nil, "", false, nil},
		{"a strong tag", "/t" + text + `&Etag="a"&Accept-Ranges=bytes`, nil, "gzip", true, []string{`Etag: W/"a"`, "Accept-Ranges:"}},
		{"a weak tag", "/t" + text + `&Etag=W/"a"`, nil, "gzip", true, []string{`Etag: W/"a"`}},
		{"a strong tag stays", "/t" + text + `&Etag="a"&Accept-Ranges=bytes`, []string{"Accept-Encoding", "identity"}, "", true, []string{`Etag: "a"`, "Accept-Ranges: bytes"}},
		{"Vary", "/t" + text + "&Vary=Cookie", nil, "gzip", true, []string{"Vary: Cookie"}},
		{"Vary of all", "/t" + text + "&Vary=*", nil, "gzip", false, []string{"Vary: *"}},
		{"not modified", "/t" + text + `&status=304&Etag="a"`, []string{"If-None-Match", `W/"a"`}, "", true, []string{`Etag: W/"a"`}},
		{"not modified, strong", "/t" + text + `&status=304&Etag="a"`, []string{"If-None-Match", `"a"`}, "", true, []string{`Etag: "a"`}},
		{"no content", "/t" + text + "&status=204&n=0", nil, "", false, nil},
		{"own types", "/own?Content-Type=image/png&n=10", nil, "gzip", true, nil},
		{"another own type", "/own?Content-Type=application/vnd.own", nil, "gzip", true, nil},
		{"not an own type", "/own" + text, nil, "", false, nil},
		{"off", "/off" + text, nil, "", false, nil},
	} {
		for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
			for _, method := range []string{"GET", "HEAD"} {
				t.Run(test.name+", "+version+" "+method, func(t *testing.T) {
					transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
					transport.Protocols.SetHTTP1(version == "HTTP/1.1")
					transport.Protocols.SetUnencryptedHTTP2(version == "HTTP/2")
					t.Cleanup(transport.CloseIdleConnections)
					r, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.Addr+test.path, nil)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Accept-Encoding", "gzip")
					for i := 0; i < len(test.header); i += 2 {
						r.Header.Set(test.header[i], test.header[i+1])
					}
					a, err := transport.RoundTrip(r)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = a.Body.Close() }()
					if got := a.Header.Get("Content-Encoding"); got != test.encoding {
						t.Fatalf("encoded as %q, want %q; %v", got, test.encoding, a.Header)
					}
					if vary := strings.Contains(strings.Join(a.Header["Vary"], ","), "Accept-Encoding"); vary != test.vary {
						t.Errorf("Vary is %q", a.Header["Vary"])
					}
					for _, line := range test.more {
						name, want, _ := strings.Cut(line, ":")
						if want = strings.TrimSpace(want); want != "" && !strings.Contains(strings.Join(a.Header[name], ", "), want) || want == "" && name != "Content-Length" && a.Header[name] != nil {
							t.Errorf("%s is %q, want %q", name, a.Header[name], want)
						}
					}
					if a.StatusCode == 204 || a.StatusCode == 304 {
						return
					}
					if method == "HEAD" {
						if test.encoding == "gzip" && a.ContentLength >= 0 {
							t.Errorf("HEAD says %d bytes", a.ContentLength)
						}
						return
					}
					text := inflated(t, test.encoding, a.Body)
					if !strings.HasPrefix(plainText, text) || text == "" {
						t.Errorf("%d bytes: %.60q", len(text), text)
					}
				})
			}
		}
	}
}

// TestCompressedAsItComes: Traffic 161: what a server flushes comes at once, compressed too, and
// an answer that breaks off is not taken for whole.
func TestCompressedAsItComes(t *testing.T) {
	g := startCompressing(t)
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /short?Content-Type=text/plain HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	some := make([]byte, 10)
	if _, err := io.ReadFull(z, some); err != nil || string(some) != plainText[:10] {
		t.Errorf("%q, %v", some, err)
	}
	for _, n := range []string{"4000", "900"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.Addr+"/cut?Content-Type=text/plain&n="+n, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", "gzip")
		a, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			continue // it was broken off before it began
		}
		if a.StatusCode != 200 {
			t.Errorf("%s", a.Status)
		}
		if _, err := io.ReadAll(a.Body); err == nil {
			t.Errorf("of %s bytes one is missing, and nobody said so", n)
		}
	}
}
