package gatewaytest

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// OffersExtendedConnect asks a server for the settings of cleartext HTTP/2.
func OffersExtendedConnect(t testing.TB, address string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	framer := http2.NewFramer(conn, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the server's first frame is %v", frame)
	}
	value, _ := settings.Value(http2.SettingEnableConnectProtocol)
	return value == 1
}

// ExtendedConnect returns a client that opens WebSockets over cleartext HTTP/2
// (RFC 8441) for a library that asks for them as over HTTP/1.1. All of them share
// one connection, which ends with the test. The test binary must import
// internal/testing/gateway/http2xconnect.
//
//nolint:staticcheck // net/http's Transport refuses to send the header :protocol
func ExtendedConnect(t testing.TB) *http.Client {
	t.Helper()
	transport := &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: extendedConnect{transport, func(r *http.Request) { r.Header[":protocol"] = []string{"websocket"} }}}
}

// ExtendedConnect3 is ExtendedConnect over HTTP/3 (RFC 9220).
func ExtendedConnect3(transport *http3.Transport) *http.Client {
	return &http.Client{Transport: extendedConnect{transport, func(r *http.Request) { r.Proto = "websocket" }}}
}

// extendedConnect turns a request to upgrade into an extended CONNECT, and what
// comes back into the answer to the former.
type extendedConnect struct {
	next http.RoundTripper
	name func(r *http.Request) // the protocol
}

// RoundTrip implements http.RoundTripper.
func (c extendedConnect) RoundTrip(r *http.Request) (*http.Response, error) {
	body, out := io.Pipe()
	// The socket outlives the request's own context.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	connect := r.Clone(ctx)
	connect.Method, connect.Body, connect.ContentLength = http.MethodConnect, body, -1
	key := r.Header.Get("Sec-WebSocket-Key")
	for _, name := range []string{"Connection", "Upgrade", "Sec-WebSocket-Key"} {
		connect.Header.Del(name)
	}
	c.name(connect)
	stop := context.AfterFunc(r.Context(), cancel)
	response, err := c.next.RoundTrip(connect)
	stop()
	if err != nil {
		cancel()
		return nil, err
	}
	response.Request = r
	response.Body = &http2Socket{ReadCloser: response.Body, out: out, cancel: cancel}
	if response.StatusCode == http.StatusOK {
		sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		response.StatusCode = http.StatusSwitchingProtocols
		response.Header.Set("Connection", "Upgrade")
		response.Header.Set("Upgrade", "websocket")
		response.Header.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	}
	return response, nil
}

// http2Socket is a stream as what the library reads and writes.
type http2Socket struct {
	io.ReadCloser
	out    *io.PipeWriter
	cancel context.CancelFunc
}

// Write implements io.Writer.
func (s *http2Socket) Write(p []byte) (int, error) { return s.out.Write(p) }

// Close implements io.Closer: it resets the stream, unless both have ended it.
func (s *http2Socket) Close() error {
	_ = s.out.Close() // it never fails
	err := s.ReadCloser.Close()
	s.cancel()
	return err
}
