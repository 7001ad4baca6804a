package httpbackend

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// conn is a connection to a server. By HTTP/1 it knows the exchange that it carries.
type conn struct {
	net.Conn
	multiplexed bool // several exchanges share it
	closed      atomic.Bool
	x           atomic.Pointer[exchange]
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if e := c.x.Load(); e != nil {
		e.waits()
	}
	n, err := c.Conn.Read(p)
	// Transport reads before there is an exchange, too, and gets the answer of the next one.
	if e := c.x.Load(); e != nil && n > 0 {
		e.received()
		e.heard.Store(true)
	}
	return n, err
}

// Write implements net.Conn. Where the connection was closed for what the server has
// answered, it is no error that nothing is written: Transport would take it for the reason.
func (c *conn) Write(p []byte) (int, error) {
	e := c.x.Load()
	if e == nil {
		return c.Conn.Write(p)
	}
	// While it is under way it may have been sent; where it has failed it was not.
	before := e.sent.Swap(true)
	n, err := c.Conn.Write(p)
	if n > 0 {
		e.move()
	} else {
		e.sent.Store(before)
	}
	if err != nil && c.closed.Load() && e.heard.Load() {
		return len(p), nil
	}
	return n, err
}

// ReadFrom implements io.ReaderFrom: a request's body goes through a buffer of the pool.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	buffer, ok := buffers.Get().(*[bufferSize]byte)
	if !ok {
		return 0, nil // the pool holds nothing else
	}
	defer buffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, buffer[:])
}

// Close implements net.Conn. Transport waits for whoever reads the request's body until it
// says why an exchange has failed, so that nobody may wait for the client then.
func (c *conn) Close() error {
	c.closed.Store(true)
	err := c.Conn.Close()
	if e := c.x.Load(); e != nil {
		e.stopReader()
	}
	return err
}

// CloseWrite ends our half of the connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// connected is told of the connection that the request goes by.
func (e *exchange) connected(info httptrace.GotConnInfo) {
	e.release()
	e.connections.Add(1)
	e.sent.Store(false)
	e.heard.Store(false)
	e.reused.Store(info.Reused)
	e.enter(toOpen)
	inner := info.Conn
	if secure, ok := inner.(*tls.Conn); ok {
		inner = secure.NetConn()
	}
	if c, ok := inner.(*conn); ok && !c.multiplexed {
		e.conn.Store(c)
		c.x.Store(e)
	}
}

// release lets the connection go: it may carry another exchange already.
func (e *exchange) release() {
	if c := e.conn.Swap(nil); c != nil {
		c.x.CompareAndSwap(e, nil)
	}
}
