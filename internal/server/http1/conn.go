package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstBuffer is enough for most heads, and maxHead for nearly all, in bytes. Who sends a longer one
	// is served by another server, which says how long it may be.
	firstBuffer = 4 << 10
	maxHead     = 32 << 10
)

// conn is a connection. What has no lock is of the goroutine that serves it.
type conn struct {
	net.Conn
	of     *Server
	ctx    context.Context
	cancel context.CancelFunc
	remote string
	// like is what all requests of the connection have in common.
	like *http.Request

	in   []byte // what was read of the next head is in[:have]
	have int
	out  *output // of the request under way
	err  error   // of the first write that failed
	gone bool    // it is another server's

	// since is when the connection began to wait for a request, in seconds since 1970: negative where that is its
	// first one, and 0 while one is under way.
	since atomic.Int64

	mu       sync.Mutex
	room     sync.Cond
	asked    *requestContext // of the request under way; nil for none
	watching bool            // somebody reads, to see whether the client is there
	stopped  bool            // he is to stop
	next     [1]byte         // what he has read
	got      bool            // that is something
}

// isIdle reports whether nobody is waited for.
func (c *conn) isIdle() bool {
	since := c.since.Load()
	return since > 0 || since < 0 && -since < time.Now().Add(-patience).Unix()
}

// serve serves the requests of a connection.
func (c *conn) serve() {
	defer func() {
		if !c.gone {
			_ = c.Close() // there is nobody to tell
			c.of.leave(c)
		}
	}()
	c.remote = c.RemoteAddr().String()
	c.ctx = context.WithValue(context.WithValue(c.of.Base, http.ServerContextKey, c.of.Rest), http.LocalAddrContextKey, c.LocalAddr())
	if c.of.Connected != nil {
		c.ctx = c.of.Connected(c.ctx, c.Conn)
	}
	c.ctx, c.cancel = context.WithCancel(c.ctx)
	defer c.cancel()
	c.like = &http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, RemoteAddr: c.remote, TLS: stateOf(c.Conn)}
	c.in = make([]byte, firstBuffer)
	_ = c.SetReadDeadline(time.Now().Add(c.of.Header)) // fails only on a closed connection, as the reads do then
	for {
		head, ok := c.readHead()
		if !ok {
			return
		}
		r := c.parse(head)
		if r == nil {
			c.handOver()
			return
		}
		c.have -= len(head)
		copy(c.in, c.in[len(head):len(head)+c.have])
		if !c.answer(r) {
			return
		}
		now := time.Now()
		c.since.Store(now.Unix())
		if !c.of.keeps() {
			return
		}
		if len(c.in) > firstBuffer && c.have < firstBuffer { // nobody keeps it for the connection's life
			c.in = append(make([]byte, 0, firstBuffer), c.in[:c.have]...)[:firstBuffer]
		}
		_ = c.SetReadDeadline(now.Add(c.of.Idle)) // as above
	}
}

// stateOf is what is known of a connection's TLS; nil for none.
func stateOf(c net.Conn) *tls.ConnectionState {
	of, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	state := of.ConnectionState()
	return &state
}

var endOfHead = []byte("\r\n\r\n")

// readHead reads the next head, with the empty line at its end. One that is too long, or whose lines
// end in LF alone, is for another server, and not whole. It reports false where the
// connection has ended.
func (c *conn) readHead() (head []byte, ok bool) {
	begun := c.since.Load() < 0 // the first head has its deadline from the beginning
	for looked := 0; ; {
		unseen := c.in[looked:c.have]
		end := bytes.Index(unseen, endOfHead)
		if end >= 0 && looked+end < maxHead {
			c.since.Store(0)
			return c.in[:looked+end+len(endOfHead)], true
		}
		if end >= 0 || c.have > maxHead || bytes.Contains(unseen, endOfHead[1:]) || bytes.Contains(unseen, []byte("\n\n")) {
			c.since.Store(0)
			return nil, true
		}
		if c.have > 0 && !begun { // behind another request it may take as long from here on
			begun = true
			_ = c.SetReadDeadline(time.Now().Add(c.of.Header)) // fails only on a closed connection, as the read does then
		}
		if len(c.in)-c.have < firstBuffer/2 {
			c.in = append(c.in, make([]byte, len(c.in))...)
		}
		looked = max(0, c.have-len(endOfHead)+1)
		n, err := c.Read(c.in[c.have:])
		c.have += n
		if n == 0 && err != nil {
			return nil, false
		}
	}
}

// answer has a request answered, and reports whether another one may follow it.
func (c *conn) answer(r *http.Request) (again bool) {
	_ = c.SetReadDeadline(time.Time{}) // fails only on a closed connection, as the next read does then
	w := &response{c: c, r: r, header: make(http.Header), length: unknown, closes: r.Close}
	c.out = outputs.Get().(*output) //nolint:forcetypeassert // the pool holds nothing else
	defer func() {
		if with := recover(); with != nil {
			again = false
			c.of.recovered(c, with) // what is ready is not sent: it could complete what was broken off
		}
		w.over = true
		c.out.release()
		c.out = nil
		c.stopWatching()
	}()
	c.of.Handler.ServeHTTP(w, r)
	c.asked.end()
	w.finish()
	_ = c.SetWriteDeadline(time.Time{}) // the handler may have set one; it fails only on a closed connection
	return w.reusable()
}

// flush sends what is ready.
func (c *conn) flush() {
	if b := c.out.b; len(b) > 0 {
		c.out.b = b[:0]
		c.send(b)
	}
}

// send sends b. Where the client is gone, the request's context ends.
func (c *conn) send(b []byte) {
	if c.err != nil {
		return
	}
	if _, c.err = c.Write(b); c.err != nil {
		c.cancel()
	}
}

// long is the read deadline that is over at once.
var long = time.Unix(1, 0)

// watch has a goroutine see to it whether the client of a request is still there.
func (c *conn) watch(of *requestContext) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != of || c.watching || c.got {
		return
	}
	c.watching = true
	go c.look(of)
}

// look reads one byte. That there is one, which is of the next request, says nothing; that there will be none
// ends the request.
func (c *conn) look(of *requestContext) {
	n, err := c.Read(c.next[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.got = true
	} else if err != nil && (!c.stopped || !errors.Is(err, os.ErrDeadlineExceeded)) {
		of.end()
	}
	c.watching, c.stopped = false, false
	c.room.Broadcast()
}

// stopWatching ends the request under way, and has nobody read beside us.
func (c *conn) stopWatching() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked.end()
	c.asked = nil
	if c.watching {
		c.stopped = true
		_ = c.SetReadDeadline(long) // fails only on a closed connection, as the read does then
		for c.watching {
			c.room.Wait()
		}
	}
	if c.got {
		c.got = false
		c.in = append(c.in[:c.have], c.next[0])
		c.have++
		c.in = c.in[:cap(c.in)]
	}
}

// handOver gives the connection to the server that serves the rest.
func (c *conn) handOver() {
	_ = c.SetReadDeadline(time.Time{}) // fails only on a closed connection
	c.gone = true
	c.of.leave(c)
	to := &readBefore{Conn: c.Conn, read: c.in[:c.have]}
	if c.like.TLS != nil {
		c.of.handed.take(&readBeforeTLS{to, c.like.TLS})
		return
	}
	c.of.handed.take(to)
}

// readBefore is a connection of which something was read already.
type readBefore struct {
	net.Conn
	read []byte
}

// Read implements net.Conn.
func (c *readBefore) Read(p []byte) (int, error) {
	if len(c.read) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.read)
	if c.read = c.read[n:]; len(c.read) == 0 {
		c.read = nil // nobody keeps it for the connection's life
	}
	return n, nil
}

// ReadFrom implements io.ReaderFrom: bodies may go from connection to connection without us.
func (c *readBefore) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseWrite lets a server end the connection in the gentle way.
func (c *readBefore) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// readBeforeTLS is one of TLS.
type readBeforeTLS struct {
	*readBefore
	state *tls.ConnectionState
}

// ConnectionState is what net/http puts into Request.TLS.
func (c *readBeforeTLS) ConnectionState() tls.ConnectionState { return *c.state }
