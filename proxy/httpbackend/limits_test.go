package httpbackend_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// TestMaxBody: a body that says that it is too large is refused before a server is asked;
// one that turns out to be is broken off, and not ended, at the server (Traffic 145).
func TestMaxBody(t *testing.T) {
	var connections atomic.Int64
	ended := make(chan string, 16)
	address := serveRaw(t, func(_ net.Conn, r *bufio.Reader) {
		connections.Add(1)
		if _, err := readHead(r); err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		ended <- string(rest)
	})
	g := newRig(t, address, httpbackend.Options{})
	g.change = func(x *httpbackend.Exchange) { x.MaxBody = 1000 }
	forAll(t, g, func(t *testing.T, c *front.Client) {
		if got := do(t, c, "POST", "/", strings.NewReader(strings.Repeat("x", 1001))); got.StatusCode != 413 || connections.Load() != 0 {
			t.Errorf("with a length: %d, after %d connections", got.StatusCode, connections.Load())
		}
	})
	forAll(t, g, func(t *testing.T, c *front.Client) {
		got := do(t, c, "POST", "/", io.MultiReader(strings.NewReader(strings.Repeat("x", 5000))))
		if got.StatusCode != 413 || !strings.Contains(got.body, "1000 bytes (limits.max_body_bytes)") {
			t.Errorf("without: %d %q", got.StatusCode, got.body)
		}
		if rest := <-ended; strings.Contains(rest, "0\r\n\r\n") {
			t.Errorf("the server gets the end of a body: %q", rest)
		}
	})
}

// TestMaxBodyExact: a body of just the limit passes.
func TestMaxBodyExact(t *testing.T) {
	g := newRig(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}), httpbackend.Options{})
	g.change = func(x *httpbackend.Exchange) { x.MaxBody = 1000 }
	body := strings.Repeat("x", 1000)
	forAll(t, g, func(t *testing.T, c *front.Client) {
		for _, reader := range []io.Reader{strings.NewReader(body), io.MultiReader(strings.NewReader(body))} {
			if got := do(t, c, "POST", "/", reader); got.StatusCode != 200 || got.body != body {
				t.Errorf("%d, %d bytes", got.StatusCode, len(got.body))
			}
		}
	})
}

// silent starts a server that says nothing, to some of what it is asked.
func silent(t *testing.T) string {
	return serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		head, err := readHead(r)
		if err != nil {
			return
		}
		if strings.HasPrefix(head, "GET /half") {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}
		_, _ = io.Copy(io.Discard, r)
	})
}

// TestTimes: each time that is over is 504 and says which one, unless the answer has begun
// (Traffic 154).
func TestTimes(t *testing.T) {
	const short, long = 50 * time.Millisecond, time.Hour
	t.Run("response_header", func(t *testing.T) {
		g := newRig(t, silent(t), httpbackend.Options{Times: httpbackend.Times{ResponseHeader: short, Idle: long}})
		forAll(t, g, func(t *testing.T, c *front.Client) {
			for _, body := range []io.Reader{nil, strings.NewReader("a body")} {
				if got := do(t, c, "PUT", "/", body); got.StatusCode != 504 || !strings.Contains(got.body, "50ms (timeouts.response_header)") {
					t.Errorf("%d %q", got.StatusCode, got.body)
				}
			}
		})
		if g.servers.faulty.Load() != int64(g.count()) {
			t.Errorf("%d of %d are the server's fault", g.servers.faulty.Load(), g.count())
		}
	})
	t.Run("idle, as the client sends nothing", func(t *testing.T) {
		g := newRig(t, silent(t), httpbackend.Options{Times: httpbackend.Times{ResponseHeader: 10 * short, Idle: 20 * short}})
		forAll(t, g, func(t *testing.T, c *front.Client) {
			body, out := io.Pipe()
			if got := do(t, c, "POST", "/", body); got.StatusCode != 504 || !strings.Contains(got.body, "(timeouts.idle)") {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
			_ = out.Close()
		})
		if g.servers.faulty.Load() != 0 {
			t.Errorf("%d are said to be the server's fault", g.servers.faulty.Load())
		}
	})
	t.Run("idle, as the server sends nothing", func(t *testing.T) {
		g := newRig(t, silent(t), httpbackend.Options{Times: httpbackend.Times{ResponseHeader: long, Idle: short}})
		forAll(t, g, func(t *testing.T, c *front.Client) {
			if got := do(t, c, "GET", "/half", nil); got.err == nil {
				t.Errorf("the client takes %q for the whole", got.body)
			}
			if result := g.last(); !result.Aborted || !strings.Contains(result.Err.Error(), "(timeouts.idle)") {
				t.Errorf("%+v", result)
			}
		})
	})
	t.Run("idle time of the route", func(t *testing.T) {
		g := newRig(t, silent(t), httpbackend.Options{Times: httpbackend.Times{ResponseHeader: long, Idle: long}})
		g.change = func(x *httpbackend.Exchange) { x.Idle = short }
		forAll(t, g, func(t *testing.T, c *front.Client) {
			if got := do(t, c, "GET", "/half", nil); got.err == nil {
				t.Errorf("the client takes %q for the whole", got.body)
			}
			if result := g.last(); !result.Aborted || !strings.Contains(result.Err.Error(), "(idle_timeout)") {
				t.Errorf("%+v", result)
			}
		})
	})
	t.Run("idle, as the client does not read", func(t *testing.T) {
		g := newRig(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for buffer := make([]byte, 1<<20); ; {
				if _, err := w.Write(buffer); err != nil {
					return
				}
			}
		}), httpbackend.Options{Times: httpbackend.Times{Idle: 4 * short}})
		forAll(t, g, func(t *testing.T, c *front.Client) {
			before := g.count()
			response, err := c.Get(c.URL)
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the exchange to end", func() bool { return g.count() > before })
			if result := g.last(); !result.Aborted || !strings.Contains(result.Err.Error(), "(timeouts.idle)") {
				t.Errorf("%+v", result)
			}
			_ = response.Body.Close()
		})
	})
	t.Run("an upload that moves has no end in response_header", func(t *testing.T) {
		g := newRig(t, serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), httpbackend.Options{Times: httpbackend.Times{ResponseHeader: 10 * short, Idle: long}})
		forAll(t, g, func(t *testing.T, c *front.Client) {
			begun := time.Now()
			body, out := io.Pipe()
			go func() {
				for time.Since(begun) < 20*short {
					_, _ = io.WriteString(out, "x")
				}
				_ = out.Close()
			}()
			if got := do(t, c, "POST", "/", body); got.StatusCode != 200 {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
		})
	})
	t.Run("connect", func(t *testing.T) {
		// A server that takes the connection and never ends the handshake.
		g := newTLSRig(t, silent(t), httpbackend.Options{Times: httpbackend.Times{Connect: short}})
		forAll(t, g, func(t *testing.T, c *front.Client) {
			if got := do(t, c, "GET", "/", nil); got.StatusCode != 504 || !strings.Contains(got.body, "50ms (timeouts.connect)") {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
		})
	})
}
