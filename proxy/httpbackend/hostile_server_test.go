package httpbackend_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// gathered is a connection whose writes are held back until send, so that several records
// of TLS go out at once.
type gathered struct {
	net.Conn
	held    bytes.Buffer
	holding bool
}

func (g *gathered) Write(p []byte) (int, error) {
	if g.holding {
		return g.held.Write(p)
	}
	return g.Conn.Write(p)
}

func (g *gathered) send() {
	g.holding = false
	_, _ = g.Conn.Write(g.held.Bytes())
	g.held.Reset()
}

// TestUnaskedAnswerByTLS: what a server sends behind its answer in another record of TLS is
// never the answer to the next request, though it was read from the socket already.
func TestUnaskedAnswerByTLS(t *testing.T) {
	own, _, _ := pair(t, "shop.test")
	config := &tls.Config{Certificates: []tls.Certificate{own}}
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		below := &gathered{Conn: c}
		secure := tls.Server(below, config)
		reader := bufio.NewReader(secure)
		for {
			head, err := readHead(reader)
			if err != nil {
				return
			}
			path, _, _ := strings.Cut(strings.TrimPrefix(head, "GET "), " ")
			below.holding = true
			_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"+path)
			_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			below.send()
		}
	})
	for name, protocol := range map[string]httpbackend.Protocol{"HTTP/1.1": httpbackend.H1, "by ALPN": httpbackend.Auto} {
		t.Run(name, func(t *testing.T) {
			g := newTLSRig(t, address, httpbackend.Options{Protocol: protocol})
			for _, path := range []string{"/1", "/2", "/3"} {
				if got := do(t, g.Clients["HTTP/1.1"], "GET", path, nil); got.body != path {
					t.Errorf("%s gets %d %q", path, got.StatusCode, got.body)
				}
			}
		})
	}
}

// TestHeaderThatDrips: timeouts.response_header bounds the wait until the header is there,
// however slowly it comes (Traffic 154).
func TestHeaderThatDrips(t *testing.T) {
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		every := time.NewTicker(time.Millisecond)
		defer every.Stop()
		for _, b := range []byte("HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 500) + "\r\nContent-Length: 0\r\n\r\n") {
			<-every.C
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	})
	g := newRig(t, address, httpbackend.Options{Times: httpbackend.Times{ResponseHeader: 50 * time.Millisecond}})
	forAll(t, g, func(t *testing.T, c *front.Client) {
		for _, body := range []string{"", "body"} {
			if got := do(t, c, "POST", "/", strings.NewReader(body)); got.StatusCode != 504 || !strings.Contains(got.body, "(timeouts.response_header)") {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
		}
	})
}

// TestExpectAnswered: a client whose request was answered in place of 100 gets no 100 of
// the gateway's own, and its body is not asked for, though the connection to the server
// goes on (Traffic 146).
func TestExpectAnswered(t *testing.T) {
	g := newRig(t, answers(t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"), httpbackend.Options{})
	for range 200 { // it would be a race
		c := g.dial(t)
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); response.StatusCode != 403 || string(body) != "no" || err != nil {
			t.Fatalf("the client gets %d %q, %v", response.StatusCode, body, err)
		}
		_ = c.Close()
	}
}

// TestInformationalUnread: a client that does not read informational answers holds an
// exchange no longer than one that does not read the final one (Traffic 154).
func TestInformationalUnread(t *testing.T) {
	hints := "HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("x", 250<<10) + "\r\n\r\n"
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		for range 64 {
			if _, err := io.WriteString(c, hints); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, r)
	})
	g := newRig(t, address, httpbackend.Options{Times: httpbackend.Times{ResponseHeader: 200 * time.Millisecond}})
	c := g.dial(t)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the exchange to end", func() bool { return g.count() > 0 })
	if result := g.last(); result.Err == nil || !strings.Contains(result.Err.Error(), "(timeouts.response_header)") {
		t.Errorf("%+v", result)
	}
}

// TestUnaskedSwitchBesideBody: a server that changes the protocol while it is sent a body
// has the connection for itself no sooner than nobody sends any more.
func TestUnaskedSwitchBesideBody(t *testing.T) {
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, r, 1000)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, r)
	})
	g := newRig(t, address, httpbackend.Options{})
	forAll(t, g, func(t *testing.T, c *front.Client) {
		for range 100 { // it would be a race
			body, out := io.Pipe()
			go func() {
				for {
					if _, err := out.Write(make([]byte, 1000)); err != nil {
						return
					}
				}
			}()
			if got := do(t, c, "POST", "/", body); got.StatusCode != 502 {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
			_ = body.Close()
		}
	})
}

// TestExpectBeforeResponseHeader: a server that knows nothing of 100 gets the body before
// it is late with its answer, however short that time is.
func TestExpectBeforeResponseHeader(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	ignores := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		body := make([]byte, 4)
		_, _ = io.ReadFull(r, body)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"+string(body))
	})
	for _, address := range []string{address, ignores} {
		g := newRig(t, address, httpbackend.Options{Times: httpbackend.Times{ResponseHeader: time.Second}})
		forAll(t, g, func(t *testing.T, c *front.Client) {
			if got := do(t, c, "POST", "/", strings.NewReader("body"), "Expect", "100-continue"); got.StatusCode != 200 || got.body != "body" {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
		})
	}
}

// TestNotModifiedLength: the length in a 304 is that of another answer: clients of HTTP/2
// do not wait for so much.
func TestNotModifiedLength(t *testing.T) {
	g := newRig(t, answers(t, "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nContent-Length: 4\r\n\r\n"), httpbackend.Options{})
	forAll(t, g, func(t *testing.T, c *front.Client) {
		if got := do(t, c, "GET", "/", nil, "If-None-Match", `"x"`); got.StatusCode != 304 || got.err != nil || got.Header.Get("Etag") != `"x"` {
			t.Errorf("%d %v %v", got.StatusCode, got.Header, got.err)
		}
	})
}

// TestEarlyAnswerToSender: a client that goes on sending when its request was answered gets
// the answer and the end of the connection, and no reset in their place (Traffic 148).
func TestEarlyAnswerToSender(t *testing.T) {
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, r, 1000)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, r)
	})
	g := newRig(t, address, httpbackend.Options{})
	piece := strings.Repeat("x", 0x1000)
	for name, test := range map[string][2]string{
		"chunks":                {"Transfer-Encoding: chunked\r\n", "1000\r\n" + piece + "\r\n"},
		"a length":              {"Content-Length: 1000000000\r\n", piece},
		"chunks, and no more":   {"Connection: close\r\nTransfer-Encoding: chunked\r\n", "1000\r\n" + piece + "\r\n"},
		"a length, and no more": {"Connection: close\r\nContent-Length: 1000000000\r\n", piece},
	} {
		t.Run(name, func(t *testing.T) {
			var clients sync.WaitGroup
			for range 20 { // it would be a race
				clients.Go(func() {
					c := g.dial(t)
					_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+test[0]+"\r\n")
					clients.Go(func() {
						for {
							if _, err := io.WriteString(c, test[1]); err != nil {
								return
							}
						}
					})
					got, err := io.ReadAll(c)
					if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 413 ") || !strings.HasSuffix(string(got), "no") {
						t.Errorf("the client gets %q, %v", got, err)
					}
					_ = c.Close()
				})
			}
			clients.Wait()
		})
	}
}

// TestInformationalReset: nobody changes the header of an informational answer that is
// still written when the client has reset its stream.
func TestInformationalReset(t *testing.T) {
	hint := "HTTP/1.1 103 Early Hints\r\n" + strings.Repeat("Link: </x>\r\n", 20)
	for i := range 200 {
		hint += "X-" + strconv.Itoa(i) + ": y\r\n"
	}
	g := newRig(t, answers(t, strings.Repeat(hint+"\r\n", 60)+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), httpbackend.Options{})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 50 { // it would be a race
				ctx, cancel := context.WithCancel(t.Context())
				trace := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
					cancel()
					return nil
				}})
				r, _ := http.NewRequestWithContext(trace, "GET", g.Clients["HTTP/2"].URL, nil)
				if response, err := g.Clients["HTTP/2"].Do(r); err == nil {
					_ = response.Body.Close()
				}
				cancel()
			}
		})
	}
	clients.Wait()
}

// TestNoBodyThatSaysItHasOne: a server whose answer cannot have a body, and says that it
// has one, is not asked by that connection again: it may still send the body.
func TestNoBodyThatSaysItHasOne(t *testing.T) {
	for head, want := range map[string]int64{
		"204 No Content\r\n":                                 1,
		"204 No Content\r\nContent-Length: 0\r\n":            1,
		"204 No Content\r\nContent-Length: 4\r\n":            3,
		"204 No Content\r\nTransfer-Encoding: chunked\r\n":   3,
		"304 Not Modified\r\nEtag: \"x\"\r\n":                1,
		"304 Not Modified\r\nContent-Length: 4\r\n":          3,
		"304 Not Modified\r\nTransfer-Encoding: chunked\r\n": 3,
	} {
		var connections atomic.Int64
		g := newRig(t, serveRaw(t, func(c net.Conn, r *bufio.Reader) {
			connections.Add(1)
			for {
				if _, err := readHead(r); err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 "+head+"\r\n")
			}
		}), httpbackend.Options{})
		for range 3 {
			if got := do(t, g.Clients["HTTP/1.1"], "GET", "/", nil); strconv.Itoa(got.StatusCode) != head[:3] || got.err != nil {
				t.Errorf("%q: %d, %v", head, got.StatusCode, got.err)
			}
		}
		if n := connections.Load(); n != want {
			t.Errorf("%q: %d connections, want %d", head, n, want)
		}
	}
}
