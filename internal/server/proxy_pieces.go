package server

import (
	"bytes"
	"io"
	"net"

	proxyproto "github.com/pires/go-proxyproto"
)

// maxVersion1 is how long a header of version 1 may be.
const maxVersion1 = 107

// inPieces is a listener whose load balancers may send a header of version 1 in pieces, as TCP may cut it: go-proxyproto
// takes it whole alone.
type inPieces struct {
	net.Listener
	balancers *balancers
}

// Accept implements net.Listener.
func (l inPieces) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if policy, _ := l.balancers.policy(proxyproto.ConnPolicyOptions{Upstream: c.RemoteAddr()}); policy == proxyproto.REQUIRE {
		return &inPiecesConn{Conn: c}, nil
	}
	return c, nil
}

// inPiecesConn gives a header of version 1 by one Read.
type inPiecesConn struct {
	net.Conn
	begun bool
}

// Read implements net.Conn.
func (c *inPiecesConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.begun {
		return n, err
	}
	c.begun = true
	for err == nil && n < len(p) && inVersion1(p[:n]) {
		var more int
		more, err = c.Conn.Read(p[n:])
		n += more
	}
	return n, err
}

// inVersion1 reports whether bytes are the beginning of a header of version 1 whose end is not among them.
func inVersion1(b []byte) bool {
	signature := proxyproto.SIGV1[:min(len(b), len(proxyproto.SIGV1))]
	return len(b) < maxVersion1 && bytes.HasPrefix(b, signature) && bytes.IndexByte(b, '\n') < 0
}

// ReadFrom implements io.ReaderFrom, so that files go from disk to network without us.
func (c *inPiecesConn) ReadFrom(r io.Reader) (int64, error) {
	if from, ok := c.Conn.(io.ReaderFrom); ok {
		return from.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseWrite ends our half of the connection.
func (c *inPiecesConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
