package nats

import (
	"bytes"
	"errors"
	"net"
)

// maxGreeting bounds the line by which a server begins: the client reads it whole, whatever its length.
const maxGreeting = 1 << 20

var errGreeting = errors.New("the server's first line has no end")

// dialer makes connections whose first line is bounded.
type dialer struct{}

// Dial implements nats.CustomDialer.
func (dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, connectTimeout)
	if err != nil {
		return nil, err
	}
	return &greeted{Conn: conn, left: maxGreeting}, nil
}

// greeted is a connection that reads up to left bytes before the end of the first line. One goroutine reads
// at a time.
type greeted struct {
	net.Conn
	left int // below 0 behind that line
}

// Read implements net.Conn.
func (g *greeted) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if g.left < 0 {
		return n, err
	}
	if bytes.IndexByte(b[:n], '\n') >= 0 {
		g.left = -1
		return n, err
	}
	if g.left -= n; g.left <= 0 {
		g.left = 0
		return 0, errGreeting
	}
	return n, err
}
