package httpbackend_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestPoolKeepsConnections: requests go by connections that are there, and as many as were
// needed at once are kept (Traffic 153).
func TestPoolKeepsConnections(t *testing.T) {
	const many = 40
	var opened atomic.Int64
	arrived, leave := make(chan bool, many), make(chan bool)
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		opened.Add(1)
		for {
			if _, err := readHead(r); err != nil {
				return
			}
			arrived <- true
			<-leave
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	g := newRig(t, address, httpbackend.Options{})
	for range 5 {
		var all sync.WaitGroup
		for range many {
			all.Go(func() {
				if got := do(t, g.Clients["HTTP/2"], "GET", "/", nil); got.body != "ok" {
					t.Errorf("%d %q", got.StatusCode, got.body)
				}
			})
		}
		for range many {
			<-arrived
		}
		for range many {
			leave <- true
		}
		all.Wait()
	}
	if n := opened.Load(); n != many {
		t.Errorf("%d connections were opened for %d requests at a time", n, many)
	}
}

// TestPoolIsShared: upstreams of equal options are one, which outlives any of its users;
// others are not (Traffic 151).
func TestPoolIsShared(t *testing.T) {
	pool := httpbackend.NewPool("x")
	servers := new(one)
	opened := 0
	open := func(upstream.Target) (httpbackend.Servers, error) {
		opened++
		return servers, nil
	}
	get := func(o httpbackend.Options) *httpbackend.Upstream {
		u, err := pool.Get(o, open)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	a := get(httpbackend.Options{Target: upstream.Target{Address: "a:1"}})
	b := get(httpbackend.Options{Target: upstream.Target{Address: "a:1"}})
	c := get(httpbackend.Options{Target: upstream.Target{Address: "a:1"}, Credentials: httpbackend.Credentials{Bearer: "x"}})
	if a != b || a == c || opened != 2 {
		t.Errorf("%p, %p, %p after %d", a, b, c, opened)
	}
	a.Release()
	if servers.release.Load() != 0 {
		t.Error("released while it is used")
	}
	b.Release()
	c.Release()
	if servers.release.Load() != 2 {
		t.Errorf("%d were released", servers.release.Load())
	}
	failure := errors.New("no")
	if _, err := pool.Get(httpbackend.Options{}, func(upstream.Target) (httpbackend.Servers, error) { return nil, failure }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}

// TestNothingIsSentTwice: a connection that breaks once the request was written is no
// reason to send it again unless it is safe, key or not; one that had ended before is
// followed by another (Traffic 80).
func TestNothingIsSentTwice(t *testing.T) {
	for name, test := range map[string]struct {
		method, body string
		key          string
		want         int64 // arrivals
	}{
		"POST":                       {"POST", "body", "", 1},
		"POST without a body":        {"POST", "", "", 1},
		"POST with a key":            {"POST", "body", "Idempotency-Key", 1},
		"with a key and no body":     {"POST", "", "Idempotency-Key", 1},
		"with another name of a key": {"POST", "", "X-Idempotency-Key", 1},
		"PUT":                        {"PUT", "body", "", 1},
		"GET with a body":            {"GET", "body", "", 1},
		"GET":                        {"GET", "", "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			var arrivals atomic.Int64
			address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
				for first := true; ; first = false {
					request, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, request.Body)
					if request.URL.Path == "/break" {
						arrivals.Add(1)
						if test.key != "" && request.Header.Get(test.key) != "k" {
							t.Errorf("the server gets %v", request.Header)
						}
						if !first {
							return
						}
					}
					_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				}
			})
			g := newRig(t, address, httpbackend.Options{})
			c := g.Clients["HTTP/1.1"]
			do(t, c, "GET", "/", nil) // for a connection that can be used again
			headers := []string{}
			if test.key != "" {
				headers = []string{test.key, "k"}
			}
			var body io.Reader
			if test.body != "" {
				body = strings.NewReader(test.body)
			}
			got := do(t, c, test.method, "/break", body, headers...)
			if want := map[int64]int{1: 502, 2: 204}[test.want]; got.StatusCode != want || arrivals.Load() != test.want {
				t.Errorf("%d, want %d, after %d arrivals", got.StatusCode, want, arrivals.Load())
			}
		})
	}
}

// TestNoServer: where there is none the chooser says why; a server that cannot be reached,
// or breaks the exchange off, is 502 (Traffic 155).
func TestNoServer(t *testing.T) {
	g := newRig(t, loopback.Address(t), httpbackend.Options{})
	broken := newRig(t, serveRaw(t, func(_ net.Conn, r *bufio.Reader) { _, _ = readHead(r) }), httpbackend.Options{})
	plain := newTLSRig(t, serve(t, http.NotFound), httpbackend.Options{})
	secure := newRig(t, serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		_, _ = r.Peek(5)
		_, _ = io.WriteString(c, "\x15\x03\x01\x00\x02\x02\x16")
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, r)
	}), httpbackend.Options{})
	for name, test := range map[string]struct {
		rig  *rig
		want string
	}{
		"nobody listens":          {g, "the server cannot be reached: connection refused"},
		"the connection breaks":   {broken, "the server ended the connection before its answer was complete"},
		"a server without TLS":    {plain, "TLS failed"},
		"a server that wants TLS": {secure, "the server's answer is no HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			forAll(t, test.rig, func(t *testing.T, c *front.Client) {
				for _, body := range []string{"", "body"} {
					got := do(t, c, "POST", "/", strings.NewReader(body))
					if got.StatusCode != 502 || !strings.Contains(got.body, test.want) || strings.Contains(got.body, "127.") {
						t.Errorf("%d %q, want %q", got.StatusCode, got.body, test.want)
					}
				}
			})
			result := test.rig.last()
			if status.Code(result.Err) != codes.Unavailable || result.Server == "" || result.Tries.Attempts != 1 {
				t.Errorf("%+v", result)
			}
			if test.rig.servers.faulty.Load() != int64(test.rig.count()) {
				t.Errorf("%d of %d are the server's fault", test.rig.servers.faulty.Load(), test.rig.count())
			}
		})
	}
	t.Run("no server is ready", func(t *testing.T) {
		g.servers.err = status.Error(codes.Unavailable, "no server is ready")
		forAll(t, g, func(t *testing.T, c *front.Client) {
			if got := do(t, c, "GET", "/", nil); got.StatusCode != 503 || got.body != g.servers.err.Error() {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
		})
	})
}

// TestUnixSocket reaches a server by a path.
func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-served //nolint:errcheck // it says that it was closed
	})
	g := newRig(t, path, httpbackend.Options{})
	g.servers.server = httpbackend.Server{Network: "unix", Address: path, Authority: "localhost"}
	g.change = func(x *httpbackend.Exchange) { x.Host = "" }
	for range 2 {
		if got := do(t, g.Clients["HTTP/1.1"], "GET", "/", nil); got.body != "localhost" {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
	}
}
