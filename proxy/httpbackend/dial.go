package httpbackend

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxIdle bounds the connections to one server that wait for requests, and idleTime
	// how long they do: servers end such a connection after 60 s and more.
	maxIdle  = 256
	idleTime = 55 * time.Second
	// maxAnswerHeader bounds the header of an answer, in bytes.
	maxAnswerHeader = 256 << 10
	// A server of HTTP/2 that is silent for pingAfter is asked whether it is there.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// place is a server as URLs have it.
type place struct {
	Server
	scheme, host string
	idle         idle // connections of ours
}

// place returns a server's place. What net/http keeps connections by is the host of a
// URL, so that one which cannot stand there gets a name of its own.
func (u *Upstream) place(s Server) *place {
	if p := u.last.Load(); p != nil && p.Server == s {
		return p
	}
	p := u.placeOf(s)
	u.last.Store(p)
	return p
}

// placeOf is place without the shortcut for the one that was asked for last.
func (u *Upstream) placeOf(s Server) *place {
	if p, ok := u.places.Load(s); ok {
		return p.(*place) //nolint:forcetypeassert // it holds nothing else
	}
	p := &place{Server: s, scheme: "http", host: s.Address}
	if u.tls != nil {
		p.scheme = "https"
	}
	if _, _, err := net.SplitHostPort(s.Address); err != nil || s.Network == "unix" || !httpguts.ValidHostHeader(s.Address) {
		p.host = "server-" + strconv.FormatUint(u.count.Add(1), 10) + ".invalid:80"
	}
	u.places.Store(p.host, p)
	if other, loaded := u.places.LoadOrStore(s, p); loaded {
		return other.(*place) //nolint:forcetypeassert // as above
	}
	return p
}

// newTransport makes a Transport that speaks a protocol.
func (u *Upstream) newTransport(protocol Protocol) *http.Transport {
	protocols := new(http.Protocols)
	var alpn []string
	switch protocol {
	case H2C:
		protocols.SetUnencryptedHTTP2(true)
	case H2:
		protocols.SetHTTP2(true)
		alpn = []string{"h2"}
	default:
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
		alpn = []string{"h2", "http/1.1"}
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return u.dial(ctx, address, protocol == H2C)
		},
		DialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return u.dialTLS(ctx, address, alpn)
		},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTime,
		ExpectContinueTimeout:  u.times.Continue,
		MaxResponseHeaderBytes: maxAnswerHeader,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// dialError is why there is no connection.
type dialError struct{ error }

// Unwrap returns what happened.
func (e *dialError) Unwrap() error { return e.error }

// dial connects to the server whose place has the host.
func (u *Upstream) dial(ctx context.Context, host string, multiplexed bool) (*conn, error) {
	at := &place{Server: Server{Network: "tcp", Address: host}}
	if p, ok := u.places.Load(host); ok {
		at = p.(*place) //nolint:forcetypeassert // it holds nothing else
	}
	c, err := u.connect(ctx, at)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, multiplexed: multiplexed}, nil
}

// connect connects to a server, without TLS.
func (u *Upstream) connect(ctx context.Context, at *place) (net.Conn, error) {
	dialer := net.Dialer{Timeout: u.times.Connect}
	c, err := dialer.DialContext(ctx, at.Network, at.Address)
	if err != nil {
		return nil, u.dialFailed(ctx, err)
	}
	return c, nil
}

// dialFailed tells an end of our own time from other failures.
func (u *Upstream) dialFailed(ctx context.Context, err error) error {
	var timeout net.Error
	if ctx.Err() == nil && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()) {
		return errLateConnect(u.times.Connect, err)
	}
	return &dialError{err}
}

// dialTLS connects by TLS to the server whose place has the host.
func (u *Upstream) dialTLS(ctx context.Context, host string, alpn []string) (net.Conn, error) {
	begun := time.Now()
	raw, err := u.dial(ctx, host, false)
	if err != nil {
		return nil, err
	}
	secure, chosen, err := u.handshake(ctx, raw, host, alpn, begun)
	if err != nil {
		return nil, err
	}
	raw.multiplexed = chosen == "h2"
	if len(alpn) == 1 && alpn[0] == "h2" && chosen != "h2" {
		_ = secure.Close() // nobody has it
		return nil, badGateway("the server does not speak HTTP/2", nil)
	}
	return secure, nil
}

// handshake has a connection that was begun then be one of TLS, and returns the protocol
// that was chosen. The name that the certificate is checked for is the server's, whatever
// Host says.
func (u *Upstream) handshake(ctx context.Context, raw net.Conn, host string, alpn []string, begun time.Time) (net.Conn, string, error) {
	config := u.tls.Current().Clone()
	config.NextProtos = alpn
	if config.ServerName == "" {
		config.ServerName = u.serverName(host)
	}
	secure := tls.Client(raw, config)
	limited, cancel := context.WithDeadline(ctx, begun.Add(u.times.Connect))
	defer cancel()
	if err := secure.HandshakeContext(limited); err != nil {
		_ = raw.Close() // as above
		return nil, "", u.dialFailed(ctx, err)
	}
	return secure, secure.ConnectionState().NegotiatedProtocol, nil
}

// serverName is the name in the certificate of the server whose place has the host.
func (u *Upstream) serverName(host string) string {
	name := host
	if p, ok := u.places.Load(host); ok {
		if place := p.(*place); place.Authority != "" { //nolint:forcetypeassert // it holds nothing else
			name = place.Authority
		}
	}
	if bare, _, err := net.SplitHostPort(name); err == nil {
		return bare
	}
	return name
}
