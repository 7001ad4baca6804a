package coalesce

import (
	"errors"
	"net"
	"sync"
	"time"
)

// fullBuffer is the size of net/http's buffer before an HTTP/1 connection, in
// bytes. A write of just that much is nearly always the first part of an answer
// that does not fit, whose rest follows at once.
const fullBuffer = 4 << 10

// patience is how long a write may take where its user has set no deadline. The
// network takes small answers at once, but not for ever: a client may send request
// after request and read nothing.
const patience = time.Minute

// held is the first part of an answer, which waits for the rest.
type held struct {
	first  [fullBuffer]byte
	vector [2][]byte
	parts  net.Buffers
}

var helds = sync.Pool{New: func() any { return new(held) }}

// writeHTTP1 sends p and what is held before it, unless p is itself the first
// part of something longer: that is held for as long as the scheduler takes to
// run a goroutine. No lock is kept while the network is waited for, or Close
// would wait for a client that does not read.
func (c *conn) writeHTTP1(p []byte) (int, error) {
	c.mu.Lock()
	for c.releasing && c.held == nil {
		c.room.Wait() // what was held is under way
	}
	h, err := c.held, c.err
	c.bound()
	if h == nil && err == nil && len(p) == fullBuffer {
		c.hold(p)
		c.mu.Unlock()
		return len(p), nil
	}
	if h != nil {
		c.held, c.releasing = nil, false
		c.room.Broadcast()
	}
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if h == nil {
		return c.Conn.Write(p)
	}
	return h.send(c.Conn, p)
}

// bound sets the deadline of writes, or renews one that is half used up. c.mu is
// locked.
func (c *conn) bound() {
	if c.bounded {
		return
	}
	if now := time.Now(); c.until.Sub(now) < patience/2 {
		c.until = now.Add(patience)
		_ = c.Conn.SetWriteDeadline(c.until) // fails only on a closed connection
	}
}

// SetWriteDeadline implements net.Conn. net/http takes the deadline of writes away after
// each answer: where it has set none, ours stays, which the next write renews if it must.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.IsZero() && !c.bounded && !c.until.IsZero() {
		return nil
	}
	c.bounded, c.until = !t.IsZero(), time.Time{}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bounded, c.until = !t.IsZero(), time.Time{}
	return errors.Join(c.deadline.want(c.Conn, t), c.Conn.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.deadline.want(c.Conn, t) }

// hold keeps a first part until the rest comes, or a goroutine has got to run. c.mu is locked.
func (c *conn) hold(p []byte) {
	c.keep(p)
	go c.release()
}

func (c *conn) keep(p []byte) {
	h, ok := helds.Get().(*held)
	if !ok {
		h = new(held)
	}
	copy(h.first[:], p)
	c.held, c.releasing = h, true
}

// release sends what is held, if no later write has taken it along.
func (c *conn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held
	if h == nil {
		return
	}
	c.held = nil
	c.mu.Unlock()
	_, err := h.send(c.Conn, nil)
	c.mu.Lock()
	if err != nil && c.err == nil {
		c.err = err
	}
	c.releasing = false
	c.room.Broadcast()
}

// send sends what was held and p after it, of which it tells how much left.
func (h *held) send(to net.Conn, p []byte) (int, error) {
	h.vector = [2][]byte{h.first[:], p}
	h.parts = h.vector[:]
	if len(p) == 0 {
		h.parts = h.parts[:1]
	}
	n, err := writeTo(to, &h.parts)
	h.vector, h.parts = [2][]byte{}, nil
	helds.Put(h)
	return max(0, int(n)-fullBuffer), err
}

// BuffersWriter is a connection around another one, which may send several buffers by one
// system call: net.Buffers finds out only of the net package's own.
type BuffersWriter interface {
	// WriteBuffers sends what net.Buffers.WriteTo would.
	WriteBuffers(b *net.Buffers) (int64, error)
}

func writeTo(c net.Conn, parts *net.Buffers) (int64, error) {
	if w, ok := c.(BuffersWriter); ok {
		return w.WriteBuffers(parts)
	}
	return parts.WriteTo(c)
}
