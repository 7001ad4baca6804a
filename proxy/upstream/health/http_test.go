package health

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	grpcgo "google.golang.org/grpc"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/loopback"
)

// TestHTTP: Traffic 179: GET with host and headers; what is expected is well, all else
// says why not; one connection serves all questions.
func TestHTTP(t *testing.T) {
	var status atomic.Int32
	var connections atomic.Int32
	var seen atomic.Pointer[http.Request]
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Clone(t.Context()))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(int(status.Load()))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	_ = server.Listener.Close()
	l := loopback.Listen(t) // nobody else has it when the server is closed
	server.Listener = l
	server.Start()
	defer server.Close()
	address := l.Addr().String()
	c := Check{Path: "/ready?deep=1", Host: "books.example", Headers: "x-probe: gateway\nx-more: 1"}.WithDefaults()
	h := NewHTTP(c, Server{Network: "tcp", Address: func() string { return address }, Authority: "other.example"})
	defer h.Close()
	for code, why := range map[int32]string{200: "", 204: "", 302: "found status 302, expected 2xx", 404: "found status 404", 500: "GET /ready?deep=1: found status 500"} {
		status.Store(code)
		if r := h.Ask(t.Context()); r.Well != (why == "") || !strings.Contains(r.Why, why) || r.Final || r.At.IsZero() {
			t.Errorf("status %d: %+v", code, r)
		}
	}
	if r := seen.Load(); r.Host != "books.example" || r.Header.Get("X-Probe") != "gateway" || r.Header.Get("X-More") != "1" || r.URL.RequestURI() != "/ready?deep=1" || r.Method != "GET" {
		t.Errorf("%s %s of %s with %v", r.Method, r.URL, r.Host, r.Header)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	status.Store(200)
	c.Port, c.Expect = uint16(n), "200"
	other := NewHTTP(c, Server{Network: "tcp", Address: func() string { return net.JoinHostPort(host, "1") }, Authority: "x"})
	defer other.Close()
	if r := other.Ask(t.Context()); !r.Well {
		t.Errorf("another port: %+v", r)
	}
	server.Close()
	if r := h.Ask(t.Context()); r.Well || !strings.Contains(r.Why, "refused") {
		t.Errorf("no server: %+v", r)
	}
}

// TestHTTPOverTLS: Traffic 179: the server's certificate is checked as that of calls.
func TestHTTPOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for authority, well := range map[string]bool{"example.com:443": true, "elsewhere.test": false} {
		h := NewHTTP(Check{Path: "/"}.WithDefaults(), Server{
			Network: "tcp", Address: server.Listener.Addr().String, Authority: authority,
			TLS: func() *tls.Config {
				return &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
			},
		})
		if r := h.Ask(t.Context()); r.Well != well {
			t.Errorf("%s: %+v", authority, r)
		}
		h.Close()
	}
}

// TestHTTPSilence: Traffic 179: a server that is silent is not well.
func TestHTTPSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := Check{Path: "/", Timeout: 20 * time.Millisecond}.WithDefaults()
	h := NewHTTP(c, Server{Network: "tcp", Address: l.Addr().String, Authority: "x"})
	defer h.Close()
	if r := h.Ask(t.Context()); r.Well || r.Why != "no answer to GET / within 20ms" {
		t.Errorf("%+v", r)
	}
}

// TestHTTPAsksGRPC: Traffic 179: who asks a server that speaks gRPC alone is told so, and
// of no host that stands in no configuration.
func TestHTTPAsksGRPC(t *testing.T) {
	address := grpctest.Serve(t, grpcgo.NewServer())
	c := Check{Path: "/readyz", Timeout: 10 * time.Second}.WithDefaults()
	h := NewHTTP(c, Server{Network: "tcp", Address: func() string { return address }, Authority: "x"})
	defer h.Close()
	const want = "GET /readyz: the server does not speak HTTP/1.1 there, perhaps gRPC: set port to that of its HTTP server"
	if r := h.Ask(t.Context()); r.Well || r.Why != want {
		t.Errorf("%+v, want %s", r, want)
	}
}

// TestAsking: Traffic 179: what a server says before it is asked is read as its answer.
func TestAsking(t *testing.T) {
	for name, end := range map[string]func(a *asking){
		"asked":  func(a *asking) { _, _ = a.Write([]byte("?")) },
		"closed": func(a *asking) { _ = a.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				a := &asking{Conn: near, asked: make(chan struct{})}
				go func() { _, _ = far.Write([]byte("first")) }()
				go func() { _, _ = far.Read(make([]byte, 1)) }()
				read := make(chan string, 1)
				go func() {
					b := make([]byte, 5)
					n, _ := a.Read(b)
					read <- string(b[:n])
				}()
				synctest.Wait()
				if len(read) > 0 {
					t.Errorf("%q was read", <-read)
				}
				end(a)
				want := map[string]string{"asked": "first"}[name]
				if got := <-read; got != want {
					t.Errorf("%q was read, want %q", got, want)
				}
				_ = near.Close()
				_ = far.Close()
			})
		})
	}
}
