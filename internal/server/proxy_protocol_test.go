package server

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/server/security"
	"github.com/transom-gateway/transom/internal/server/sockets"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/pipes"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// balancedServer tells each client its address, behind load balancers.
func balancedServer(t *testing.T, address string, from []string, log io.Writer) net.Addr {
	t.Helper()
	return testServer(t, &transomv1.Listener{Address: address, ProxyProtocol: &transomv1.ProxyProtocol{From: from}}, log).Addr()
}

// testServer tells each client its address, at a listener.
func testServer(t *testing.T, c *transomv1.Listener, log io.Writer, changed ...func(*listener)) *listener {
	t.Helper()
	fleet, err := security.NewFleet("", nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := openListener(new(sockets.Set), c, nil, fleet, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changed {
		change(l)
	}
	l.check(http1head.Options{MaxHead: maxHeaderBytes, Answer: func(c net.Conn, r http1head.Refusal) []byte {
		return []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + c.RemoteAddr().String() + ": " + r.Message)
	}}, slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug))
	o := newFrontOptions(c)
	o.resets = newResets(c, slog.New(slog.NewTextHandler(log, nil)))
	o.serves(c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			_ = http.NewResponseController(w).Flush() // the client sees that it has begun
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, r.RemoteAddr)
	}))
	l.resets = o.resets
	o.ending, o.log = t.Context(), slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	front := newNetHTTP(o)
	served := make(chan error, 1)
	go func() { served <- front.Serve(l) }()
	t.Cleanup(func() {
		_ = front.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l
}

// exchange sends bytes and returns all that comes back.
func exchange(t *testing.T, at net.Addr, pieces ...string) string {
	t.Helper()
	c, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if _, err := io.WriteString(c, piece); err != nil {
			break // it is closed already
		}
	}
	got, _ := io.ReadAll(c) // a connection that is reset answers nothing either
	return string(got)
}

const (
	getAndClose = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	v2          = "\r\n\r\n\x00\r\nQUIT\n"
	v2IPv4      = v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x01\xbb"
)

// TestProxyProtocol: Traffic 192: a load balancer must say who its client is; nobody else
// can.
func TestProxyProtocol(t *testing.T) {
	folder, err := os.MkdirTemp("", "balanced-") // that of the test may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	var log strings.Builder
	listed := balancedServer(t, "127.0.0.1:0", []string{"127.0.0.0/8"}, &log)
	strange := balancedServer(t, "127.0.0.1:0", []string{"192.0.2.0/24"}, io.Discard)
	socket := balancedServer(t, "unix:"+filepath.Join(folder, "s"), []string{"unix"}, io.Discard)
	for _, test := range []struct {
		name   string
		at     net.Addr
		header string
		want   string // of the answer; empty: the connection is closed without one
	}{
		{"version 1", listed, "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", "192.0.2.7:12345"},
		{"version 1, IPv6", listed, "PROXY TCP6 2001:db8::7 2001:db8::1 12345 443\r\n", "[2001:db8::7]:12345"},
		{"version 1, unknown", listed, "PROXY UNKNOWN\r\n", "127.0.0.1:"},
		{"version 2", listed, v2IPv4, "192.0.2.7:12345"},
		{"version 2, TLVs", listed, v2 + "\x21\x11\x00\x11\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x01\xbb\x04\x00\x02ab", "192.0.2.7:12345"},
		{"version 2, local", listed, v2 + "\x20\x00\x00\x00", "127.0.0.1:"},
		{"a unix socket", socket, v2IPv4, "192.0.2.7:12345"},
		{"none", listed, "", ""},
		{"none, by a unix socket", socket, "", ""},
		{"two", listed, v2IPv4 + "PROXY TCP4 192.0.2.8 10.0.0.1 1 1\r\n", "400"},
		{"version 3", listed, v2 + "\x31\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x01\xbb", ""},
		{"too short for its address", listed, v2 + "\x21\x11\x00\x04\xc0\x00\x02\x07", ""},
		{"more than 4 KiB", listed, v2 + "\x21\x11\xff\xff" + strings.Repeat("\x00", 0xffff), ""},
		{"version 1 of more than 107 bytes", listed, "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", ""},
		{"an address that is none", listed, "PROXY TCP4 192.0.2.700 10.0.0.1 12345 443\r\n", ""},
		{"an address of another family", listed, "PROXY TCP4 2001:db8::7 2001:db8::1 12345 443\r\n", ""},
		{"without CR", listed, "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\n", ""},
		{"a client by UDP", listed, v2 + "\x21\x12\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x01\xbb", ""},
		{"a client by a unix socket", listed, v2 + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216), ""},
		{"a stranger without", strange, "", "127.0.0.1:"},
		{"a stranger, version 1", strange, "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", "400 Bad Request"},
		{"a stranger, version 2", strange, v2IPv4, "400 Bad Request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := exchange(t, test.at, test.header+getAndClose)
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
			if strings.Contains(test.name, "stranger") && strings.Contains(got, "192.0.2.7") {
				t.Errorf("a stranger is believed: %q", got)
			}
		})
	}
	for _, header := range []string{"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", v2IPv4, v2 + "\x21\x11\x10\x00\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x01\xbb\x04\x0f\xf1" + strings.Repeat("\x00", 0xff1)} {
		if got := exchange(t, listed, strings.Split(header+getAndClose, "")...); !strings.Contains(got, "192.0.2.7:12345") {
			t.Errorf("a header of %d bytes that comes byte by byte: %q", len(header), got)
		}
	}
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "PROXY protocol") {
		t.Errorf("the log: %s", got)
	}
}

// TestProxyProtocolOverTLS: the header stands before the handshake.
func TestProxyProtocolOverTLS(t *testing.T) {
	certPEM, keyPEM := keytest.Certificate(t, "localhost")
	certificate, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(certPEM))
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newHandshakes(fromBalancers(raw, []string{"127.0.0.1/32"}, slog.New(slog.DiscardHandler)),
		&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}}, time.Minute, http1head.Options{MaxHead: maxHeaderBytes},
		slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug))
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, r.RemoteAddr)
	})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() {
		_ = s.Close()
		<-served //nolint:errcheck // it says that it was closed
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, v2IPv4); err != nil {
		t.Fatal(err)
	}
	secure := tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: "localhost"})
	if _, err := io.WriteString(secure, getAndClose); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(secure), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if got, err := io.ReadAll(answer.Body); err != nil || string(got) != "192.0.2.7:12345" {
		t.Errorf("%q, %v", got, err)
	}
}

// nearby is a listener whose peers are load balancers.
type nearby struct{ net.Listener }

func (l nearby) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return nearbyConn{c}, err
}

type nearbyConn struct{ net.Conn }

func (nearbyConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1} }

// TestSilentLoadBalancer: Traffic 192: it has 5 seconds for its header, however slowly that
// comes.
func TestSilentLoadBalancer(t *testing.T) {
	for name, sent := range map[string]string{"silent": "", "version 1, the beginning": "PRO", "version 2, the beginning": v2IPv4[:20]} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := pipes.Listen()
				defer func() { _ = inner.Close() }()
				l := fromBalancers(nearby{inner}, []string{"10.0.0.0/8"}, slog.New(slog.DiscardHandler))
				dialed := make(chan net.Conn, 1)
				go func() { dialed <- inner.Dial() }()
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				client := <-dialed
				defer func() { _, _ = client.Close(), c.Close() }()
				go func() { _, _ = io.WriteString(client, sent) }()
				begin := time.Now()
				if n, err := c.Read(make([]byte, 10)); n != 0 || err == nil {
					t.Errorf("it reads %d bytes, %v", n, err)
				}
				if waited := time.Since(begin); waited != proxyHeaderTime {
					t.Errorf("after %v, want %v", waited, proxyHeaderTime)
				}
				if got := c.RemoteAddr().String(); got != "10.0.0.1:1" {
					t.Errorf("it is %s", got)
				}
			})
		})
	}
}

// TestBalancersWaitForNobody: a load balancer that does not say who its client is keeps no other one waiting.
func TestBalancersWaitForNobody(t *testing.T) {
	at := balancedServer(t, "127.0.0.1:0", []string{"127.0.0.0/8"}, io.Discard)
	silent, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }() // it is read
	const request = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	if got := exchange(t, at, request); !strings.HasSuffix(got, "192.0.2.1:1") {
		t.Errorf("the second one: %q", got)
	}
	// The second one's answer came before the time of the first was over, which would have ended it.
	if _, err := io.WriteString(silent, request); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(silent); err != nil || !strings.HasSuffix(string(got), "192.0.2.1:1") {
		t.Errorf("the first one: %q, %v", got, err)
	}
}
