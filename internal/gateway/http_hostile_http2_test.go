package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

// http2Answer writes an answer to a stream as it likes.
type http2Answer struct {
	*testing.T
	*http2.Framer
	id uint32
}

func (a http2Answer) header(end bool, fields ...string) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a Buffer takes it
	}
	_ = a.WriteHeaders(http2.HeadersFrameParam{StreamID: a.id, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true}) // the gateway may be gone
}

// hostileHTTP2 are answers of servers of HTTP/2. "evil" in one reaches no client.
var hostileHTTP2 = []struct {
	name   string
	answer func(http2Answer)
	closes bool
	want   int
}{
	{"no status", func(a http2Answer) { a.header(true, "x-a", "b") }, false, refused},
	{"the status 099", func(a http2Answer) { a.header(true, ":status", "099") }, false, refused},
	{"a status of letters", func(a http2Answer) { a.header(true, ":status", "abc") }, false, refused},
	{"101", func(a http2Answer) { a.header(false, ":status", "101", "upgrade", "x") }, false, refused},
	{"data before its header", func(a http2Answer) { _ = a.WriteData(a.id, true, []byte("evil")) }, false, refused},
	{"a reset at once", func(a http2Answer) { _ = a.WriteRSTStream(a.id, http2.ErrCodeNo) }, false, refused},
	{"GOAWAY and the end", func(a http2Answer) { _ = a.WriteGoAway(a.id, http2.ErrCodeNo, nil) }, true, refused},
	{"CRLF in a value", func(a http2Answer) { a.header(true, ":status", "200", "x-a", "b\r\nx-evil: evil") }, false, refused},
	{"NUL in a value", func(a http2Answer) { a.header(true, ":status", "200", "x-a", "b\x00evil") }, false, refused},
	{"an upper-case name", func(a http2Answer) { a.header(true, ":status", "200", "X-Evil", "evil") }, false, refused},
	{"a name with a space", func(a http2Answer) { a.header(true, ":status", "200", "x evil", "evil") }, false, refused},
	{"103 without end", func(a http2Answer) {
		for range 2000 {
			a.header(false, ":status", "103", "link", "</a>")
		}
	}, false, refused},
	{"a large header", func(a http2Answer) { a.header(true, ":status", "200", "x-a", strings.Repeat("a", 15_000)+"evil\x00") }, false, refused},
	{"a reset within the body", func(a http2Answer) {
		a.header(false, ":status", "200")
		_ = a.WriteData(a.id, false, []byte("abc"))
		_ = a.WriteRSTStream(a.id, http2.ErrCodeInternal)
	}, false, cut},
	{"a reset without an error within the body", func(a http2Answer) {
		a.header(false, ":status", "200", "content-length", "10")
		_ = a.WriteData(a.id, false, []byte("abc"))
		_ = a.WriteRSTStream(a.id, http2.ErrCodeNo)
	}, false, cut},
	{"GOAWAY within the body", func(a http2Answer) {
		a.header(false, ":status", "200")
		_ = a.WriteData(a.id, false, []byte("abc"))
		_ = a.WriteGoAway(a.id, http2.ErrCodeNo, nil)
	}, true, cut},
	{"the end of the connection", func(a http2Answer) {
		a.header(false, ":status", "200")
		_ = a.WriteData(a.id, false, []byte("abc"))
	}, true, cut},
	{"less than the length", func(a http2Answer) {
		a.header(false, ":status", "200", "content-length", "10")
		_ = a.WriteData(a.id, true, []byte("abc"))
	}, false, cut},
	{"nothing of the length", func(a http2Answer) { a.header(true, ":status", "200", "content-length", "10") }, false, cut},
	{"more than the length", func(a http2Answer) {
		a.header(false, ":status", "200", "content-length", "3")
		_ = a.WriteData(a.id, true, []byte("abcevil"))
	}, false, cut},
	{"trailers with a status", func(a http2Answer) {
		a.header(false, ":status", "200")
		_ = a.WriteData(a.id, false, []byte("abc"))
		a.header(true, ":status", "500")
	}, false, cut},
	{"trailers of strange values", func(a http2Answer) {
		a.header(false, ":status", "200")
		_ = a.WriteData(a.id, false, []byte("abc"))
		a.header(true, "x-a", "a\r\nevil", "content-length", "1")
	}, false, cut | whole},
}

func serveHostileHTTP2(t *testing.T) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		if _, err := io.ReadFull(r, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		framer := http2.NewFramer(c, r)
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		if err := framer.WriteSettings(); err != nil {
			return
		}
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			f, ok := frame.(*http2.MetaHeadersFrame)
			if !ok {
				continue
			}
			a := http2Answer{t, framer, f.StreamID}
			n := -1
			if _, err := fmt.Sscanf(f.PseudoValue("path"), "/%d", &n); err != nil {
				a.header(false, ":status", "200")
				_ = framer.WriteData(f.StreamID, true, []byte("sound"))
				continue
			}
			if hostileHTTP2[n].answer(a); hostileHTTP2[n].closes {
				return
			}
		}
	}
}

// TestHostileHTTP2Answers is TestHostileAnswers for servers of HTTP/2 (Traffic 162).
func TestHostileHTTP2Answers(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q], protocol: H2C } }", rawSite(t, serveHostileHTTP2(t))),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site }]\n",
	})
	for n, hostile := range hostileHTTP2 {
		for by, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
			t.Run("Traffic 162: "+hostile.name+" by "+by, func(t *testing.T) {
				got, text := seenOf(t, client, fmt.Sprintf("%s/%d", g.URL, n))
				if got&hostile.want == 0 || strings.Contains(text, "evil") {
					t.Errorf("%d, want %d: %.300q", got, hostile.want, text)
				}
				if a := g.DoWith(t, client, "GET", "/sound", ""); a.Status != 200 || a.Body != "sound" {
					t.Errorf("the next request: %d %s", a.Status, a.Body)
				}
			})
		}
	}
}

// seenOf is what a client sees of an answer, and all of it as text.
func seenOf(t *testing.T, client *http.Client, url string) (got int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), rawPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Te", "trailers")
	response, err := client.Do(request)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
		text = fmt.Sprintf("%d %v %s %v", response.StatusCode, response.Header, body, response.Trailer)
	}
	switch {
	case ctx.Err() != nil:
		t.Errorf("it has no end: %v", err)
		return 0, text
	case err != nil:
		return cut, text
	case response.StatusCode == http.StatusBadGateway:
		return refused, text
	}
	return whole, text
}
