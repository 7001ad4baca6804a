package websocket

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/transom-gateway/transom/transcoder/exchange"
)

// byExtendedConnect reports whether a request opens a WebSocket over HTTP/2 (RFC
// 8441). It does where the server offers that, which net/http does with
// GODEBUG=http2xconnect=1 only. It should not by default: a browser then takes
// its HTTP/2 connection for WebSockets, and Chromium (156) keeps back an empty
// message, our half-close, that follows another at once, until there are more
// bytes to send.
func byExtendedConnect(x *exchange.Exchange) bool {
	return x.R.Method == http.MethodConnect && x.Multiplexed()
}

// asUpgrade dresses an extended CONNECT as the handshake of HTTP/1.1 that the
// library knows. The key is nobody's: over HTTP/2 there is none.
func asUpgrade(r *http.Request) *http.Request {
	upgrade := *r
	upgrade.Method = http.MethodGet
	upgrade.Header = r.Header.Clone()
	upgrade.Header["Connection"] = []string{"Upgrade"}
	upgrade.Header["Upgrade"] = []string{"websocket"}
	upgrade.Header["Sec-Websocket-Key"] = []string{"AAAAAAAAAAAAAAAAAAAAAA=="}
	return &upgrade
}

// streamHijacker is the ResponseWriter of an extended CONNECT: what the library
// says to upgrade a connection opens the stream, and the connection that it
// takes over is the stream.
type streamHijacker struct {
	http.ResponseWriter
	x exchange.Exchange
}

// WriteHeader implements http.ResponseWriter.
func (h *streamHijacker) WriteHeader(code int) {
	if code == http.StatusSwitchingProtocols {
		code = http.StatusOK
		for _, name := range [...]string{"Connection", "Upgrade", "Sec-Websocket-Accept"} {
			delete(h.Header(), name)
		}
	}
	h.ResponseWriter.WriteHeader(code)
}

// Hijack implements http.Hijacker.
func (h *streamHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn := &streamConn{x: h.x}
	if err := conn.x.Flush(); err != nil {
		return nil, nil, err
	}
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}

// streamConn is an HTTP/2 stream as a connection: it reads the request's body and
// writes the answer's. One goroutine may read and one write; the other methods
// are for all. A deadline that has passed ends the stream. The stream's own end
// comes with that of the handler, before which Close must have returned.
type streamConn struct {
	x exchange.Exchange

	// writing is held while x writes: nobody may once the handler has returned.
	writing sync.Mutex
	// mu guards closed, and x against being used later.
	mu     sync.Mutex
	closed bool
}

var _ net.Conn = (*streamConn)(nil)

// Read implements net.Conn.
func (c *streamConn) Read(p []byte) (int, error) { return c.x.R.Body.Read(p) }

// Write implements net.Conn. It returns when the bytes are under way.
func (c *streamConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	n, err := c.x.Write(p)
	if err == nil {
		err = c.x.Flush()
	}
	return n, err
}

func (c *streamConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close implements net.Conn. A Read or Write under way fails. When it has
// returned, by whomever it was called first, nothing touches the stream.
func (c *streamConn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		_ = c.x.R.Body.Close() // which wakes the reader; it has no error
		if c.writing.TryLock() {
			c.writing.Unlock()
		} else {
			c.x.InterruptWrite()
		}
	}
	c.mu.Unlock()
	c.writing.Lock() // a Write sees closed, or has returned
	defer c.writing.Unlock()
	return nil
}

// SetDeadline implements net.Conn.
func (c *streamConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *streamConn) SetReadDeadline(t time.Time) error {
	return c.whileOpen(func() error { return c.x.SetReadDeadline(t) })
}

// SetWriteDeadline implements net.Conn.
func (c *streamConn) SetWriteDeadline(t time.Time) error {
	return c.whileOpen(func() error { return c.x.SetWriteDeadline(t) })
}

func (c *streamConn) whileOpen(do func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return do()
}

// LocalAddr implements net.Conn.
func (c *streamConn) LocalAddr() net.Addr {
	if a, ok := c.x.R.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return a
	}
	return streamAddr("")
}

// RemoteAddr implements net.Conn.
func (c *streamConn) RemoteAddr() net.Addr { return streamAddr(c.x.R.RemoteAddr) }

// streamAddr is an address that net/http has only as text.
type streamAddr string

func (streamAddr) Network() string  { return "tcp" }
func (a streamAddr) String() string { return string(a) }
