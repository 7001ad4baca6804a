// Package pipes is a network for tests, in memory: no ports, no buffers, and at
// home in a bubble of testing/synctest. It knows nothing of what is said on it.
//
//	l := pipes.Listen()
//	go server.Serve(l)
//	conn := l.Dial()
package pipes

import (
	"net"
	"sync"
)

// Listener hands the other ends of Dial's connections to a server.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

var _ net.Listener = (*Listener)(nil)

// Listen returns a Listener.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to whoever calls Accept, and waits for that. A Write returns
// when the other end has read all of it. After Close it returns a connection
// whose other end is closed.
func (l *Listener) Dial() net.Conn {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
	case <-l.closed:
		_ = server.Close() // a pipe's never fails
	}
	return client
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; the connections stay.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
