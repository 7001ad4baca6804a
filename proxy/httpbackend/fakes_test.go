package httpbackend_test

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// one is the chooser of an upstream with one server.
type one struct {
	server  httpbackend.Server
	err     error
	active  atomic.Int64
	sound   atomic.Int64
	faulty  atomic.Int64
	release atomic.Int64
}

func (o *one) Begin(context.Context, *upstream.Turn) (httpbackend.Server, error) {
	if o.err != nil {
		return httpbackend.Server{}, o.err
	}
	o.active.Add(1)
	return o.server, nil
}

func (o *one) End(*upstream.Turn) { o.active.Add(-1) }

func (o *one) Judge(_ *upstream.Turn, v upstream.Verdict) {
	switch v {
	case upstream.Sound:
		o.sound.Add(1)
	case upstream.Faulty:
		o.faulty.Add(1)
	}
}

func (o *one) Untried(*upstream.Turn) bool { return false }

func (o *one) Budget() *upstream.Budget { return new(upstream.Budget) }

func (o *one) Release() { o.release.Add(1) }

// rig is a front that forwards to one server.
type rig struct {
	*front.Front
	servers  *one
	upstream *httpbackend.Upstream
	// change is called with each exchange before it is forwarded; nil for nothing to do.
	change func(*httpbackend.Exchange)

	mu      sync.Mutex
	results []httpbackend.Result
}

// newRig forwards to the server at an address, by its options.
func newRig(t testing.TB, address string, o httpbackend.Options) *rig {
	t.Helper()
	g := &rig{servers: &one{server: httpbackend.Server{Network: "tcp", Address: address, Authority: address}}}
	o.Target.Address = address
	var err error
	g.upstream, err = httpbackend.NewPool(httpbackend.Pseudonym).Get(o, func(upstream.Target) (httpbackend.Servers, error) { return g.servers, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		waitFor(t, "the attempts to end", func() bool { return g.servers.active.Load() == 0 })
		g.upstream.Release()
		if g.servers.release.Load() != 1 {
			t.Error("the servers were not released")
		}
	})
	g.Front = front.Start(t, http.HandlerFunc(g.serve))
	return g
}

func (g *rig) serve(w http.ResponseWriter, r *http.Request) {
	x := &httpbackend.Exchange{W: w, R: r, Target: r.RequestURI, Host: r.Host}
	if g.change != nil {
		g.change(x)
	}
	result := g.upstream.Forward(r.Context(), x)
	g.mu.Lock()
	g.results = append(g.results, result)
	g.mu.Unlock()
	if result.Aborted {
		panic(http.ErrAbortHandler)
	}
	if result.Err != nil && result.Status == 0 && !result.Upgraded {
		status := http.StatusServiceUnavailable
		if own, ok := result.Err.(interface{ HTTPStatus() int }); ok {
			status = own.HTTPStatus()
		}
		w.Header()["Content-Type"] = []string{"text/plain"}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, result.Err.Error())
	}
}

// last is the result of the last exchange.
func (g *rig) last() httpbackend.Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.results) == 0 {
		return httpbackend.Result{}
	}
	return g.results[len(g.results)-1]
}

// count is how many exchanges have ended.
func (g *rig) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.results)
}

// serve starts a server of net/http that ends with the test.
func serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// serveH2C is serve for HTTP/2 over cleartext alone.
func serveH2C(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// serveRaw starts a server that is given each connection, which is closed when it
// returns.
func serveRaw(t testing.TB, handle func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			running.Go(func() {
				defer func() { _ = c.Close() }()
				handle(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// readHead reads a request's head, as it stands.
func readHead(r *bufio.Reader) (string, error) {
	var head []byte
	for {
		line, err := r.ReadString('\n')
		head = append(head, line...)
		if err != nil || line == "\r\n" {
			return string(head), err
		}
	}
}

// answers returns a server that sends the same answer, as it stands, to each request
// without a body.
func answers(t testing.TB, answer string) string {
	return serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		for {
			if _, err := readHead(r); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	})
}

// reply is an answer, read to its end.
type reply struct {
	*http.Response
	body string
	err  error // of reading the body
}

// do sends a request.
func do(t testing.TB, c *front.Client, method, path string, body io.Reader, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), cmp.Or(method, "GET"), c.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return reply{response, string(read), err}
}

// forAll runs a test by each client of the rig.
func forAll(t *testing.T, g *rig, test func(*testing.T, *front.Client)) {
	t.Helper()
	for name, c := range g.Clients {
		t.Run("client "+name, func(t *testing.T) { test(t, c) })
	}
}

// raw sends bytes to the front as they stand and returns what comes until the connection
// ends.
func (g *rig) raw(t testing.TB, request string) string {
	t.Helper()
	c := g.dial(t)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("reading the answer: %v", err)
	}
	return string(got)
}

// dial connects to the front.
func (g *rig) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// records returns a server that answers each request without a body with 204, and the
// heads that it has read.
func records(t testing.TB) (address string, heads chan string) {
	t.Helper()
	heads = make(chan string, 16)
	return serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		for {
			head, err := readHead(r)
			if err != nil {
				return
			}
			heads <- head
			if _, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
				return
			}
		}
	}), heads
}

// waitFor waits for what says nothing when it happens.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll.Until(t, what, ok)
}

// newTLSRig is newRig with TLS to the server, whose certificate nobody checks.
func newTLSRig(t testing.TB, address string, o httpbackend.Options) *rig {
	t.Helper()
	o.Target.TLS = &upstream.TLS{InsecureSkipVerify: true}
	return newRig(t, address, o)
}
