package httpbackend

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
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
	idle         idle        // connections of ours
	http1        atomic.Bool // the server has chosen HTTP/1.1 where it may choose
	unused       atomic.Bool // nobody has asked for it since it was to be forgotten
}

// place returns a server's place. What net/http keeps connections by is the host of a
// URL, so that one which cannot stand there gets a name of its own.
func (u *Upstream) place(s Server) *place {
	p := u.last.Load()
	if p == nil || p.Server != s || p.idle.forgotten.Load() {
		p = u.placeOf(s)
		u.last.Store(p)
	}
	if p.unused.Load() {
		p.unused.Store(false)
	}
	return p
}

// placeOf is place without the shortcut for the one that was asked for last.
func (u *Upstream) placeOf(s Server) *place {
	if p, ok := u.places.Load(s); ok {
		return p.(*place) //nolint:forcetypeassert // it holds nothing else
	}
	u.making.Lock()
	defer u.making.Unlock()
	if p, ok := u.places.Load(s); ok {
		return p.(*place) //nolint:forcetypeassert // as above
	}
	if u.made++; u.made%manyPlaces == 0 {
		u.forgetPlaces()
	}
	p := &place{Server: s, scheme: "http", host: s.Address}
	if u.tls != nil {
		p.scheme = "https"
	}
	if _, _, err := net.SplitHostPort(s.Address); err != nil || s.Network == "unix" || !httpguts.ValidHostHeader(s.Address) {
		p.host = "server-" + strconv.Itoa(u.made) + ".invalid:80"
	}
	u.places.Store(p.host, p)
	u.places.Store(s, p)
	return p
}

// manyPlaces is after how many new places old ones are forgotten: servers that are
// discovered may have other addresses every day.
const manyPlaces = 1024

// forgetPlaces forgets the places that were not asked for since it was called last, and by
// which no connection waits. u.making is held.
func (u *Upstream) forgetPlaces() {
	u.places.Range(func(key, value any) bool {
		p := value.(*place) //nolint:forcetypeassert // it holds nothing else
		if _, ok := key.(Server); ok && p.unused.Swap(true) && p.idle.forget() {
			u.places.CompareAndDelete(p.host, p)
			u.places.Delete(key)
		}
		return true
	})
}

// newTransport makes a Transport that speaks HTTP/2. What turns out to be a connection of
// HTTP/1.1, where a server may choose, becomes one of ours.
func (u *Upstream) newTransport(protocol Protocol) *http.Transport {
	protocols := new(http.Protocols)
	alpn := []string{"h2"}
	switch protocol {
	case H2C:
		protocols.SetUnencryptedHTTP2(true)
	case Auto:
		alpn = anyHTTP
		fallthrough
	default:
		protocols.SetHTTP2(true)
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, host string) (net.Conn, error) { return u.connect(ctx, u.placeAt(host)) },
		DialTLSContext: func(ctx context.Context, _, host string) (net.Conn, error) {
			return u.dialTLS(ctx, u.placeAt(host), alpn)
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

// What is offered by ALPN.
var (
	anyHTTP   = []string{"h2", "http/1.1"}
	onlyHTTP1 = anyHTTP[1:]
)

var (
	// errHTTP1 says that the server has chosen HTTP/1.1: a connection of ours waits.
	errHTTP1 = errors.New("httpbackend: the server speaks HTTP/1.1")
	// errHTTP2 says that it chooses HTTP/2 now.
	errHTTP2 = errors.New("httpbackend: the server speaks HTTP/2")
)

// dialError is why there is no connection.
type dialError struct{ error }

// Unwrap returns what happened.
func (e *dialError) Unwrap() error { return e.error }

// placeAt is the place that has the host of a URL.
func (u *Upstream) placeAt(host string) *place {
	if p, ok := u.places.Load(host); ok {
		return p.(*place) //nolint:forcetypeassert // it holds nothing else
	}
	return &place{Server: Server{Network: "tcp", Address: host}, host: host}
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

// dialTLS connects by TLS to a server that is to speak HTTP/2.
func (u *Upstream) dialTLS(ctx context.Context, at *place, alpn []string) (net.Conn, error) {
	begun := time.Now()
	raw, err := u.connect(ctx, at)
	if err != nil {
		return nil, err
	}
	secure, chosen, err := u.handshake(ctx, raw, at, alpn, begun)
	switch {
	case err != nil:
		return nil, err
	case chosen == "h2":
		return secure, nil
	case len(alpn) == 1:
		_ = secure.Close() // nobody has it
		return nil, badGateway("the server does not speak HTTP/2", nil)
	}
	at.http1.Store(true)
	u.keepLink(newLink(secure, raw, at))
	return nil, errHTTP1
}

// handshake has a connection that was begun then be one of TLS, and returns the protocol
// that was chosen. The name that the certificate is checked for is the server's, whatever
// Host says.
func (u *Upstream) handshake(ctx context.Context, raw net.Conn, at *place, alpn []string, begun time.Time) (net.Conn, string, error) {
	config := u.tls.Current().Clone()
	config.NextProtos = alpn
	if config.ServerName == "" {
		config.ServerName = at.serverName()
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

// serverName is the name in the server's certificate.
func (p *place) serverName() string {
	name := cmp.Or(p.Authority, p.host)
	if bare, _, err := net.SplitHostPort(name); err == nil {
		return bare
	}
	return name
}
