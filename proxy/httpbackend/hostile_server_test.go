package httpbackend_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
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
