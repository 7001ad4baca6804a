package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/pipes"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// TestUnreadLongAnswers: a client that does not read a long answer of the gateway's own holds it for 30 s and one
// for each 64 KiB, by whatever version of HTTP.
func TestUnreadLongAnswers(t *testing.T) {
	for name, ask := range map[string]func(*testing.T, http.Handler) (end func()){"HTTP/1.1": askByHTTP1, "HTTP/2": askByHTTP2, "HTTP/3": askByHTTP3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				held := make(chan time.Duration, 1)
				end := ask(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Proto != name && r.Proto != name+".0" {
						t.Errorf("the request has %s", r.Proto)
					}
					began := time.Now()
					d := &httpDownstream{x: exchange.Exchange{W: exchange.FrontOf(w), R: r}}
					d.answer(http.StatusOK, make([]byte, 1<<20))
					held <- time.Since(began)
				}))
				defer end()
				if got, want := <-held, exchange.WriteTimeout+16*time.Second; got != want {
					t.Errorf("the answer was held for %s, expected %s", got, want)
				}
			})
		})
	}
}

// askByHTTP1 asks and reads nothing.
func askByHTTP1(t *testing.T, handler http.Handler) (end func()) {
	conn, end := serveByPipe(handler)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return end
}

// askByHTTP2 asks and gives the answer no window.
func askByHTTP2(t *testing.T, handler http.Handler) (end func()) {
	conn, end := serveByPipe(handler)
	go func() { _, _ = io.Copy(io.Discard, conn) }() // until the connection ends
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "localhost"}, {Name: ":path", Value: "/"}} {
		if err := encoder.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, nil)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	return end
}

// serveByPipe serves a handler by HTTP/1.1 and HTTP/2 to one client.
func serveByPipe(handler http.Handler) (conn net.Conn, end func()) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server, listener := &http.Server{Handler: handler, Protocols: protocols}, pipes.Listen() //nolint:gosec // its client is ours
	go func() { _ = server.Serve(listener) }()                                               // until it is closed
	conn = listener.Dial()
	return conn, func() { _, _ = conn.Close(), server.Close() } // both are over
}

// askByHTTP3 asks by a stream whose answer it does not read.
func askByHTTP3(t *testing.T, handler http.Handler) (end func()) {
	certificate, key := keytest.Certificate(t, "localhost")
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	near, far := newPacketPipe()
	patience := &quic.Config{MaxIdleTimeout: 5 * time.Minute}
	server := &http3.Server{Handler: handler, QUICConfig: patience, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}})} //nolint:gosec // QUIC has 1.3 alone
	served := make(chan error, 1)
	go func() { served <- server.Serve(far) }()
	transport := &quic.Transport{Conn: near}
	insecure := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}} //nolint:gosec // as above
	c, err := transport.Dial(t.Context(), far.LocalAddr(), insecure, patience)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := new(http3.Transport).NewClientConn(c).OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://localhost/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendRequestHeader(r); err != nil {
		t.Fatal(err)
	}
	return func() {
		_, _, _ = c.CloseWithError(0, ""), transport.Close(), server.Close() // all are over
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		_, _ = near.Close(), far.Close() // as above
	}
}

// packetPipe is an end of a network of two, in memory.
type packetPipe struct {
	name    net.Addr
	in      chan []byte
	other   *packetPipe
	once    sync.Once
	expired chan struct{} // nothing is read any more
}

func newPacketPipe() (near, far *packetPipe) {
	near = &packetPipe{name: &net.UnixAddr{Name: "near"}, in: make(chan []byte, 1<<10), expired: make(chan struct{})}
	far = &packetPipe{name: &net.UnixAddr{Name: "far"}, in: make(chan []byte, 1<<10), expired: make(chan struct{}), other: near}
	near.other = far
	return near, far
}

// ReadFrom implements net.PacketConn.
func (p *packetPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case packet := <-p.in:
		return copy(b, packet), p.other.name, nil
	case <-p.expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// WriteTo implements net.PacketConn. What there is no room for is lost.
func (p *packetPipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case p.other.in <- bytes.Clone(b):
	default:
	}
	return len(b), nil
}

// SetReadDeadline implements net.PacketConn, for one that has passed.
func (p *packetPipe) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		return p.Close()
	}
	return nil
}

// Close implements net.PacketConn.
func (p *packetPipe) Close() error {
	p.once.Do(func() { close(p.expired) })
	return nil
}

func (p *packetPipe) LocalAddr() net.Addr            { return p.name }
func (*packetPipe) SetDeadline(time.Time) error      { return nil }
func (*packetPipe) SetWriteDeadline(time.Time) error { return nil }
