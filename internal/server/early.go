package server

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/earlydata"
	"github.com/transom-gateway/transom/internal/server/security"
)

// packetsTLS is TLS of HTTP/3, with early data (0-RTT) or without.
func packetsTLS(s *security.Security, early bool) (*tls.Config, error) {
	if early {
		return s.EarlyConfig(proven, http3.NextProtoH3)
	}
	return s.Config(http3.NextProtoH3), nil
}

// provenKey is the key of what a connection's context says of its client's address.
type provenKey struct{}

// withProof notes in the context of a connection whether its client has proven its address, by a token that
// it got there.
func withProof(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
	if client.AddrVerified {
		ctx = context.WithValue(ctx, provenKey{}, true)
	}
	return ctx, nil
}

// proven reports the same. Before the handshake is over nothing else shows that a request is not from
// somebody who writes another's address into packets, by which limits and policies know clients.
func proven(ctx context.Context) bool { return ctx.Value(provenKey{}) != nil }

// accepter gives connections of QUIC: with early data some that have not ended their handshake.
type accepter interface {
	Accept(ctx context.Context) (*quic.Conn, error)
	Close() error
}

// accept begins to read packets.
func (l *quicListener) accept() (accepter, error) {
	if l.config.Allow0RTT {
		return l.transport.ListenEarly(l.tls, l.config)
	}
	return l.transport.Listen(l.tls, l.config)
}

// over reports whether the handshake of a connection is.
func over(c *quic.Conn) bool {
	select {
	case <-c.HandshakeComplete():
		return true
	default:
		return false
	}
}

// receive takes a connection, which counts as one once its handshake is over, or requests came before
// that.
func (f *http3Front) receive(c *quic.Conn) {
	if over(c) || c.ConnectionState().Used0RTT {
		f.take(c)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // it may be gone already
		return
	}
	f.running.Go(func() {
		select {
		case <-c.HandshakeComplete():
			f.take(c)
		case <-c.Context().Done():
		}
	})
}

// earlyRequests serves the requests of a connection that may have begun with early data.
type earlyRequests struct {
	next http.Handler
	conn *quic.Conn
}

// ServeHTTP implements http.Handler.
func (e earlyRequests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !over(e.conn) {
		if r = e.before(r); r == nil {
			return // the client has gone
		}
	}
	e.next.ServeHTTP(w, r)
}

// before marks a request that may be run before the handshake is over, and waits with others until it is.
// Nil: that will not be.
func (e earlyRequests) before(r *http.Request) *http.Request {
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength <= 0 {
		body := newPeeked(r.Body)
		select {
		case <-body.read:
			if body.err == io.EOF {
				r.Body, r.ContentLength = http.NoBody, 0
				return earlydata.Mark(r, e.conn.HandshakeComplete())
			}
		case <-e.conn.HandshakeComplete():
		case <-r.Context().Done():
		}
		r.Body = body
	}
	select {
	case <-e.conn.HandshakeComplete():
		return r
	case <-r.Context().Done():
		return nil
	}
}

// peeked is a body whose first byte is read already, or being read.
type peeked struct {
	io.ReadCloser
	read  chan struct{}
	first [1]byte
	n     int
	err   error
}

func newPeeked(body io.ReadCloser) *peeked {
	p := &peeked{ReadCloser: body, read: make(chan struct{})}
	go func() { // it ends with the body, which the end of the request closes
		defer close(p.read)
		p.n, p.err = io.ReadFull(body, p.first[:])
	}()
	return p
}

// Read implements io.Reader.
func (p *peeked) Read(b []byte) (int, error) {
	<-p.read
	if p.n > 0 && len(b) > 0 {
		p.n--
		b[0] = p.first[0]
		return 1, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.ReadCloser.Read(b)
}
