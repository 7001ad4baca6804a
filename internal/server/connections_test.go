package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/heap"
	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// dial opens a connection that the test closes.
func dial(t *testing.T, at net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask makes a request and reads its answer; nil where the connection is closed.
func ask(t *testing.T, c net.Conn, header string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, header+"GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return nil
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // it was read to its end
	return answer
}

// TestMaxConnections: Traffic 197: what comes beyond the bound waits until another
// connection ends.
func TestMaxConnections(t *testing.T) {
	l := testServer(t, &transomv1.Listener{Address: "127.0.0.1:0", MaxConnections: 2}, io.Discard)
	first, second, third := dial(t, l.Addr()), dial(t, l.Addr()), dial(t, l.Addr())
	for _, c := range []net.Conn{first, second} {
		if ask(t, c, "") == nil {
			t.Fatal("no answer")
		}
	}
	if got := l.connections.open.Load(); got != 2 {
		t.Errorf("%d are open", got)
	}
	answered := make(chan *http.Response, 1)
	go func() { answered <- ask(t, third, "") }()
	select {
	case <-answered:
		t.Fatal("a third one is served")
	default:
	}
	_ = first.Close()
	if <-answered == nil {
		t.Error("no answer once there is room")
	}
	poll.Until(t, "two connections", func() bool { return l.connections.open.Load() == 2 })
}

// TestConnectionsOfOneClient: Traffic 197: they are closed beyond the bound, be it behind a
// load balancer, and counted.
func TestConnectionsOfOneClient(t *testing.T) {
	proxied := &transomv1.ProxyProtocol{From: []string{"127.0.0.1/32"}}
	const other = "PROXY TCP4 192.0.2.8 10.0.0.1 12345 443\r\n"
	for name, test := range map[string]struct {
		listener *transomv1.Listener
		header   string
	}{
		"direct":                  {&transomv1.Listener{}, ""},
		"behind a load balancer":  {&transomv1.Listener{ProxyProtocol: proxied}, "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n"},
		"IPv6, of one /64":        {&transomv1.Listener{ProxyProtocol: proxied}, "PROXY TCP6 2001:db8::7 2001:db8::1 12345 443\r\n"},
		"checks of load balancer": {&transomv1.Listener{ProxyProtocol: proxied}, "PROXY UNKNOWN\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			test.listener.Address, test.listener.MaxConnectionsPerClient = "127.0.0.1:0", 2
			l := testServer(t, test.listener, &log)
			kept := dial(t, l.Addr())
			if ask(t, kept, test.header) == nil || ask(t, dial(t, l.Addr()), strings.Replace(test.header, "::7", "::8", 1)) == nil {
				t.Fatal("no answer")
			}
			for range 3 {
				if got := ask(t, dial(t, l.Addr()), test.header); got != nil {
					t.Errorf("a third one: %s", got.Status)
				}
			}
			if test.header != "" && ask(t, dial(t, l.Addr()), other) == nil {
				t.Error("another client is refused")
			}
			_ = kept.Close()
			poll.Until(t, "room for another", func() bool { return ask(t, dial(t, l.Addr()), test.header) != nil })
			if got := l.connections.refused.Load(); got < 3 {
				t.Errorf("%d are refused", got)
			}
			if got := log.String(); strings.Count(got, "level=WARN") != 1 {
				t.Errorf("the log: %s", got)
			}
		})
	}
}

// TestConnectionAge: Traffic 198: an old connection ends with its answer, or with its grace.
func TestConnectionAge(t *testing.T) {
	t.Run("HTTP/1", func(t *testing.T) {
		l := testServer(t, &transomv1.Listener{Address: "127.0.0.1:0", MaxConnectionAge: durationpb.New(1)}, io.Discard)
		c := dial(t, l.Addr())
		if got := ask(t, c, ""); got == nil || !got.Close {
			t.Errorf("%+v", got)
		}
		if ask(t, c, "") != nil {
			t.Error("it goes on")
		}
	})
	t.Run("HTTP/1, young", func(t *testing.T) {
		l := testServer(t, &transomv1.Listener{Address: "127.0.0.1:0", MaxConnectionAge: durationpb.New(time.Hour)}, io.Discard)
		c := dial(t, l.Addr())
		for range 2 {
			if got := ask(t, c, ""); got == nil || got.Close {
				t.Errorf("%+v", got)
			}
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		l := testServer(t, &transomv1.Listener{Address: "127.0.0.1:0", MaxConnectionAge: durationpb.New(1)}, io.Discard)
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		seen := map[string]bool{}
		for range 3 {
			r, err := client.Get("http://" + l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			address, err := io.ReadAll(r.Body)
			if err != nil || r.ProtoMajor != 2 || r.Header.Get("Connection") != "" {
				t.Errorf("%s, %v, %v", r.Proto, r.Header, err)
			}
			_ = r.Body.Close() // it was read to its end
			seen[string(address)] = true
			poll.Until(t, "the connection to end", func() bool { return l.connections.open.Load() == 0 })
		}
		if len(seen) != 3 {
			t.Errorf("%v", seen)
		}
	})
	t.Run("the grace", func(t *testing.T) {
		l := testServer(t, &transomv1.Listener{
			Address: "127.0.0.1:0", MaxConnectionAge: durationpb.New(1), MaxConnectionAgeGrace: durationpb.New(time.Millisecond),
		}, io.Discard)
		c := dial(t, l.Addr())
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// TestTimesOfConnections: Traffic 199: they have defaults, and are settings.
func TestTimesOfConnections(t *testing.T) {
	if o := newFrontOptions(&transomv1.Listener{}); o.header != 10*time.Second || o.idle != 75*time.Second || o.maxStreams != 100 {
		t.Errorf("the defaults are %+v", o)
	}
	certificate, key := certificateFiles(t)
	short := durationpb.New(time.Millisecond)
	for name, test := range map[string]struct {
		listener *transomv1.Listener
		sent     string
		answers  bool
	}{
		"the head":                   {&transomv1.Listener{HeaderTimeout: short}, "GET / HTTP/1.1\r\n", false},
		"the next request":           {&transomv1.Listener{IdleTimeout: short}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
		"the next request of HTTP/2": {&transomv1.Listener{IdleTimeout: short}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", true},
		"the handshake": {&transomv1.Listener{
			HandshakeTimeout: short, Tls: &transomv1.ServerTls{Certificate: certificate, Key: key},
		}, "\x16\x03\x01", false},
	} {
		t.Run(name, func(t *testing.T) {
			test.listener.Address = "127.0.0.1:0"
			c := dial(t, testServer(t, test.listener, io.Discard).Addr())
			if _, err := io.WriteString(c, test.sent); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if answered := len(got) > 0 && !bytes.HasPrefix(got, []byte("HTTP/1.1 408")); answered != test.answers || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// certificateFiles are the files of a certificate for localhost.
func certificateFiles(t *testing.T) (certificate, key string) {
	t.Helper()
	certPEM, keyPEM := keytest.Certificate(t, "localhost")
	folder := t.TempDir()
	certificate, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for path, text := range map[string]string{certificate: certPEM, key: keyPEM} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// TestConnectionsWaitForMemory: Traffic 200: from the second stage on none is accepted, until it is
// over.
func TestConnectionsWaitForMemory(t *testing.T) {
	var live atomic.Uint64
	guard := overload.New(overload.Options{Usage: func() heap.Use { return heap.Use{Live: live.Load() << 30, Limit: 100 << 30} }})
	l := testServer(t, &transomv1.Listener{Address: "127.0.0.1:0"}, io.Discard, func(l *listener) { l.connections.overload = guard })
	first := dial(t, l.Addr())
	if ask(t, first, "") == nil {
		t.Fatal("no answer")
	}
	live.Store(90)
	guard.Set(&overload.Default)
	last := dial(t, l.Addr()) // the one that was waited for before
	if ask(t, last, "") == nil || ask(t, first, "") == nil {
		t.Error("no answer on what is open")
	}
	answered := make(chan *http.Response, 1)
	waiting := dial(t, l.Addr())
	go func() { answered <- ask(t, waiting, "") }()
	if leave, ok := l.connections.enterPacket(waiting.LocalAddr()); ok {
		leave()
		t.Error("a connection of QUIC is accepted")
	}
	select {
	case <-answered:
		t.Error("a connection is accepted")
	default:
	}
	live.Store(10)
	guard.Set(&overload.Default)
	if <-answered == nil {
		t.Error("no answer once there is memory")
	}
	if leave, ok := l.connections.enterPacket(waiting.LocalAddr()); ok {
		leave()
	} else {
		t.Error("no connection of QUIC is accepted")
	}
}
