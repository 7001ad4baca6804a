package http1head

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// lingerTime and lingerBytes bound what is still read of a client that was refused,
	// so that it gets to read why: closing on unread bytes would reset the connection.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
	// answerTime is how long a client may take to receive the refusal.
	answerTime = 5 * time.Second
)

// Options are what a Conn needs.
type Options struct {
	// MaxHead bounds a request's head, in bytes.
	MaxHead int
	// Answer makes the answer to a refused request, status line, header and body, which
	// says that the connection is closed. It is called at most once a connection.
	Answer func(c net.Conn, r Refusal) []byte
}

// Listener checks what comes over the connections it accepts.
func Listener(l net.Listener, o Options) net.Listener { return &listener{l, o} }

type listener struct {
	net.Listener
	options Options
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(c, l.options, true), nil
}

// TLS checks what comes over a connection whose handshake is done, and which did not
// agree on HTTP/2.
func TLS(c *tls.Conn, o Options) net.Conn { return &tlsConn{newConn(c, o, false), c} }

// tlsConn tells net/http that it is one of TLS.
type tlsConn struct {
	*conn
	tls *tls.Conn
}

// ConnectionState is what net/http puts into Request.TLS.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// mode is what the answers have made of a connection.
type mode = int32

const (
	requests  mode = iota // it carries requests
	undecided             // the last one asked for another protocol
	through               // it carries another protocol
	refused               // it is about to be closed
)

// conn is a connection that passes on sound requests alone.
type conn struct {
	net.Conn
	options Options
	mode    atomic.Int32

	// The reader's alone.
	scan   Scanner
	asked  uint64 // heads so far that asked for another protocol
	kept   []byte // what a read took beyond the end of a request
	held   []byte // the rest of kept, still to be read
	fault  *Fault // found, and to be answered when the answers before it are complete
	spoil  int    // how many bytes still spoil a body
	broken error  // what every Read returns
}

func newConn(c net.Conn, o Options, preface bool) *conn {
	return &conn{Conn: c, options: o, scan: NewScanner(o.MaxHead, preface)}
}

// errRefused and errBroken are wrapped so that net/http closes the connection without a
// word.
var (
	errRefused = errors.New("the request was refused")
	errBroken  = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("the request's body is not framed as HTTP wants")}
)

// Read implements net.Conn. net/http reads in three ways: the next head, when the
// answer before it has left; a body; and while it waits for a handler one byte of what
// comes behind the body, to see whether the client is there. Only in the first may a
// refusal be sent.
func (c *conn) Read(p []byte) (int, error) {
	if c.mode.Load() == through {
		return c.readThrough(p)
	}
	if c.spoil > 0 {
		return c.spoilBody(p)
	}
	if c.broken != nil {
		return 0, c.broken
	}
	if c.fault != nil {
		return c.refuse(p)
	}
	n, err := c.nextLine(p)
	if c.fault != nil {
		return c.refuse(p)
	}
	if c.mode.Load() == through || n == 0 && (err != io.EOF || !c.scan.Begun()) {
		return n, err
	}
	if n == 0 {
		c.fault = bad("the request ended within its head")
		return c.refuse(p)
	}
	sound, fault := c.scan.Scan(p[:n])
	switch {
	case fault == nil && c.scan.Passing():
		c.mode.Store(through)
		return n, nil
	case fault == nil:
		c.awaitUpgrade()
		c.hold(p[sound:n])
		return sound, nil // an error beside data comes again with the next read
	case !c.scan.InHead():
		c.spoil, c.broken = spoilt, errBroken
		if sound > 0 {
			return sound, nil
		}
		return c.spoilBody(p)
	}
	c.fault = fault
	return c.refuse(p)
}

// nextLine is next without the empty lines before a request line. Where the last request
// asked for another protocol they may be of that: nothing is left out.
func (c *conn) nextLine(p []byte) (n int, err error) {
	if len(p) == 1 && c.mode.Load() == undecided && c.scan.Between() {
		if err := c.awaitText(); err != nil {
			return 0, err
		}
	}
	for {
		n, err = c.next(p)
		if n == 0 || c.mode.Load() != requests {
			return n, err
		}
		empty, fault := c.scan.SkipEmptyLines(p[:n])
		if c.fault = fault; fault != nil || empty == 0 {
			return n, err
		}
		if n = copy(p, p[empty:n]); n > 0 || err != nil {
			return n, err
		}
	}
}

// maxUndecided bounds what awaitText holds, in bytes: more empty lines than are ignored.
const maxUndecided = 64

// awaitText returns when something other than an end of a line comes first in what is
// held. The read that waits for a handler would else hand out the beginning of an empty
// line, which cannot be taken back where the handler refuses the other protocol, and
// which must not be left out where it agrees.
func (c *conn) awaitText() error {
	for len(c.held) < maxUndecided && (len(c.held) == 0 || c.held[0] == '\r' || c.held[0] == '\n') {
		var more [maxUndecided]byte
		n, err := c.Conn.Read(more[:])
		if n > 0 {
			c.kept = append(append(make([]byte, 0, len(c.held)+n), c.held...), more[:n]...)
			c.held = c.kept
		} else if err != nil {
			return err
		}
	}
	return nil
}

// next reads what was held back first.
func (c *conn) next(p []byte) (int, error) {
	if len(c.held) == 0 {
		c.kept = nil
		return c.Conn.Read(p)
	}
	n := copy(p, c.held)
	c.held = c.held[n:]
	return n, nil
}

// hold keeps the end of what next has just returned for the next read. net/http gets
// the bytes of one request at a time, so that the answers before are complete when the
// head of a request passes.
func (c *conn) hold(rest []byte) {
	switch {
	case len(rest) == 0:
	case c.kept == nil:
		c.kept = append([]byte(nil), rest...)
		c.held = c.kept
	default: // it came from there
		c.held = c.kept[len(c.kept)-len(c.held)-len(rest):]
	}
}

func (c *conn) readThrough(p []byte) (int, error) {
	c.fault = nil // what looked like a bad head was none
	return c.next(p)
}

// awaitUpgrade has the next answer decide on the protocol, where a head has asked for
// another one.
func (c *conn) awaitUpgrade() {
	if n := c.scan.Upgrades(); n != c.asked {
		c.asked = n
		c.mode.CompareAndSwap(requests, undecided)
	}
}

// spoilt is how many bytes take the place of what is not framed as HTTP wants: more than
// net/http's buffer, so that it fails wherever it is in a line of a chunk or a trailer.
const spoilt = 8 << 10

// spoilBody has net/http fail in a body that is not framed as HTTP wants, so that the
// handler answers. An error of the connection would tell it that the client is gone,
// and end the request's context before the handler learns why.
func (c *conn) spoilBody(p []byte) (int, error) {
	n := min(len(p), c.spoil)
	clear(p[:n])
	c.spoil -= n
	return n, nil
}

// refuse answers a bad head, if this is the time for it.
func (c *conn) refuse(p []byte) (int, error) {
	if len(p) == 1 {
		// A handler may still be at work, or net/http's buffer has room for one more byte
		// of a line. What it gets ends no line, so that it asks for more when it wants
		// the next head.
		p[0] = 0
		return 1, nil
	}
	answer := c.options.Answer(c.Conn, c.scan.Refusal(c.fault))
	_ = c.SetWriteDeadline(time.Now().Add(answerTime)) // these fail on a closed connection alone
	_, _ = c.Conn.Write(answer)
	c.mode.Store(refused)
	c.broken = &net.OpError{Op: "read", Net: "tcp", Err: errRefused}
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		for read := 0; read < lingerBytes; {
			n, err := c.Conn.Read(p)
			if read += n; err != nil {
				break
			}
		}
	}
	return 0, c.broken
}

// switched is how the answer begins that changes the protocol.
const switched = "HTTP/1.1 101"

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	switch c.mode.Load() {
	case undecided:
		if len(p) < len(switched) || string(p[:7]) != switched[:7] {
			break
		}
		if string(p[:len(switched)]) == switched {
			c.mode.Store(through)
		} else if p[9] != '1' {
			c.mode.Store(requests)
		}
	case refused:
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// ReadFrom implements io.ReaderFrom: bodies may go from connection to connection without us.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if c.mode.Load() == refused {
		return 0, net.ErrClosed
	}
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

// CloseWrite lets net/http end a connection in the gentle way.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
