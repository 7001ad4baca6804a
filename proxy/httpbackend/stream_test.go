package httpbackend_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// TestAnswerStreams: the client gets the header before there is a byte of the body, and
// each piece before there is the next (Traffic 144).
func TestAnswerStreams(t *testing.T) {
	next := make(chan string)
	handler := func(w http.ResponseWriter, r *http.Request) {
		if n := r.Header.Get("X-Length"); n != "" {
			w.Header().Set("Content-Length", n)
		}
		control := http.NewResponseController(w)
		_ = control.Flush()
		for {
			select {
			case piece := <-next:
				if piece == "" {
					return
				}
				_, _ = io.WriteString(w, piece)
				_ = control.Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	for name, test := range map[string]struct {
		address  string
		protocol httpbackend.Protocol
	}{
		"H1":  {serve(t, handler), httpbackend.H1},
		"H2C": {serveH2C(t, handler), httpbackend.H2C},
	} {
		g := newRig(t, test.address, httpbackend.Options{Protocol: test.protocol})
		for _, length := range []string{"", "12"} {
			t.Run("server "+name+" length "+length, func(t *testing.T) {
				forAll(t, g, func(t *testing.T, c *front.Client) {
					r, _ := http.NewRequestWithContext(t.Context(), "GET", c.URL, nil)
					if length != "" {
						r.Header.Set("X-Length", length)
					}
					response, err := c.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = response.Body.Close() }()
					for _, piece := range []string{"one;", "two;", "six;"} {
						next <- piece
						got := make([]byte, 4)
						if _, err := io.ReadFull(response.Body, got); string(got) != piece || err != nil {
							t.Fatalf("%q, %v, want %q", got, err, piece)
						}
					}
					next <- ""
					if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
						t.Errorf("%q, %v", rest, err)
					}
				})
			})
		}
	}
}

// TestAnswerIsJoined: a short answer that is there as a whole reaches the client as a
// whole, header and body in one segment (Traffic 144).
func TestAnswerIsJoined(t *testing.T) {
	g := newRig(t, answers(t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: x\r\n\r\nabc"), httpbackend.Options{})
	c := g.dial(t)
	for range 20 {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 4096)
		n, err := c.Read(buffer)
		if got := string(buffer[:n]); err != nil || !strings.HasSuffix(got, "\r\n\r\nabc") {
			t.Fatalf("the first read is %q, %v", got, err)
		}
	}
}

// TestRequestStreams: the server gets each piece of the body before there is the next, and
// may answer each at once (Traffic 144).
func TestRequestStreams(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.ProtoMajor == 1 {
			_ = control.EnableFullDuplex()
		}
		_ = control.Flush()
		buffer := make([]byte, 16)
		for {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write([]byte(strings.ToUpper(string(buffer[:n]))))
			_ = control.Flush()
			if err != nil {
				return
			}
		}
	}
	for name, test := range map[string]struct {
		address  string
		protocol httpbackend.Protocol
	}{
		"H1":  {serve(t, handler), httpbackend.H1},
		"H2C": {serveH2C(t, handler), httpbackend.H2C},
	} {
		t.Run("server "+name, func(t *testing.T) {
			g := newRig(t, test.address, httpbackend.Options{Protocol: test.protocol})
			forAll(t, g, func(t *testing.T, c *front.Client) {
				body, out := io.Pipe()
				r, _ := http.NewRequestWithContext(t.Context(), "POST", c.URL, body)
				response, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				for _, piece := range []string{"one;", "two;", "six;"} {
					if _, err := io.WriteString(out, piece); err != nil {
						t.Fatal(err)
					}
					got := make([]byte, 4)
					if _, err := io.ReadFull(response.Body, got); string(got) != strings.ToUpper(piece) || err != nil {
						t.Fatalf("%q, %v, want %q", got, err, piece)
					}
				}
				_ = out.Close()
				if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
					t.Errorf("%q, %v", rest, err)
				}
			})
		})
	}
}

// TestEarlyAnswer: a final answer reaches the client before its request is complete, and
// the rest is not waited for; the connection to the server is not used again (Semantics
// 54, Traffic 148).
func TestEarlyAnswer(t *testing.T) {
	connections := make(chan net.Conn, 16)
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		connections <- c
		if _, err := readHead(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		if rest, _ := io.ReadAll(r); strings.Contains(string(rest), "HTTP/1.1") {
			t.Errorf("the connection carries another request: %q", rest)
		}
	})
	g := newRig(t, address, httpbackend.Options{})
	forAll(t, g, func(t *testing.T, c *front.Client) {
		for range 2 {
			body, out := io.Pipe()
			r, _ := http.NewRequestWithContext(t.Context(), "POST", c.URL, body)
			response, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			if response.StatusCode != 403 || string(got) != "no" || err != nil {
				t.Errorf("%d %q, %v", response.StatusCode, got, err)
			}
			_ = response.Body.Close()
			_ = out.Close()
			<-connections
		}
		if result := g.last(); result.Err != nil || result.Aborted || result.Status != 403 {
			t.Errorf("%+v", result)
		}
	})
}

// TestEarlyAnswerRaw: what an HTTP/1.1 client goes on sending behind an early answer is not
// its next request.
func TestEarlyAnswerRaw(t *testing.T) {
	var arrived int
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		if head, err := readHead(r); err != nil || !strings.HasPrefix(head, "POST /first") {
			return
		}
		arrived++
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	})
	g := newRig(t, address, httpbackend.Options{})
	c := g.dial(t)
	_, _ = io.WriteString(c, "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx")
	reader := bufio.NewReader(c)
	head, err := readHead(reader)
	if err != nil || !strings.HasPrefix(head, "HTTP/1.1 403") || !strings.Contains(head, "Connection: close\r\n") {
		t.Fatalf("%q, %v", head, err)
	}
	_, _ = io.WriteString(c, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
	if rest, _ := io.ReadAll(reader); len(rest) > 0 {
		t.Errorf("another answer: %q", rest)
	}
	if arrived != 1 {
		t.Errorf("%d requests arrived", arrived)
	}
}

// TestClientLeaves: a client that goes away ends the exchange at the server at once,
// wherever it stands.
func TestClientLeaves(t *testing.T) {
	began, gone := make(chan bool, 1), make(chan bool, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upload":
			began <- true
			_, _ = io.Copy(io.Discard, r.Body)
		case "/answer":
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			began <- true
			<-r.Context().Done()
		default:
			began <- true
			<-r.Context().Done()
		}
		gone <- true
	}
	for name, test := range map[string]struct {
		address  string
		protocol httpbackend.Protocol
	}{
		"H1":  {serve(t, handler), httpbackend.H1},
		"H2C": {serveH2C(t, handler), httpbackend.H2C},
	} {
		g := newRig(t, test.address, httpbackend.Options{Protocol: test.protocol})
		for _, path := range []string{"/upload", "/header", "/answer"} {
			t.Run("server "+name+path, func(t *testing.T) {
				forAll(t, g, func(t *testing.T, c *front.Client) {
					before := g.count()
					ctx, cancel := context.WithCancel(t.Context())
					method, body, stop := "GET", io.Reader(nil), func() error { return nil }
					if path == "/upload" {
						reader, out := io.Pipe()
						method, body, stop = "POST", reader, out.Close // which its client waits for
					}
					r, _ := http.NewRequestWithContext(ctx, method, c.URL+path, body)
					done := make(chan bool)
					go func() {
						defer close(done)
						if response, err := c.Do(r); err == nil {
							_, _ = io.Copy(io.Discard, response.Body)
							_ = response.Body.Close()
						}
					}()
					<-began
					cancel()
					<-gone
					_ = stop()
					<-done
					waitFor(t, "the exchange to end", func() bool { return g.count() > before })
					if result := g.last(); result.Err == nil {
						t.Errorf("%+v", result)
					}
				})
			})
		}
	}
}
