package upstream_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestTLSAdvice calls servers in the wrong way: what to set is told to the operator, in
// the log once, and to no client.
func TestTLSAdvice(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	own, _, _ := certificate(t, "books.test")
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, test := range []struct {
		name, address string
		tls           *upstream.TLS
		want          string
	}{
		{"cleartext to a TLS server", secure.Listener.Addr().String(), nil, "speak TLS: set tls in the upstream, or --upstream-tls"},
		{"cleartext to a TLS server of grpc-go", startTLS(t, own, nil).address, nil, "speak TLS: set tls in the upstream, or --upstream-tls"},
		{"TLS to a cleartext server", plain.Listener.Addr().String(), &upstream.TLS{}, "seems not to speak TLS: remove tls from the upstream, or --upstream-tls"},
		{"TLS to a cleartext server of grpc-go", startOn(t, loopback.Listen(t)).address, &upstream.TLS{}, "seems not to speak TLS: remove tls from the upstream, or --upstream-tls"},
		{"gRPC to a server of HTTP/1.1", http11(t), nil, "the server speaks HTTP/1.1, and was asked for HTTP/2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := new(logtext.Text)
			conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(log, nil))).Get(upstream.Target{Address: test.address, TLS: test.tls})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			for range 3 {
				if _, _, err := ask(t, conn); err == nil || strings.Contains(err.Error(), "--upstream-tls") {
					t.Errorf("the client is told %v", err)
				}
			}
			if advice := conn.Advice(); !strings.Contains(advice, test.want) {
				t.Errorf("%q, want %q; the failure is %v", advice, test.want, conn.Failure())
			}
			if err := conn.Failure(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			poll.Until(t, "the log to tell it", func() bool { return strings.Contains(log.String(), test.want) })
			if n := strings.Count(log.String(), test.want); n != 1 {
				t.Errorf("the log tells it %d times: %s", n, log)
			}
		})
	}
}

// http11 starts a server that answers whatever it reads by HTTP/1.1, as Node's does, and
// returns its address.
func http11(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // the test is over
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 24)) // the client looks
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}
