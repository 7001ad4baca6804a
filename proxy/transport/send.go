package transport

import (
	"encoding/binary"
	"io"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"
)

// crowded is how much may wait to be written before senders wait too.
const crowded = 256 << 10

// Send sends a message, which stays the caller's. It returns when the
// connection has taken it whole. io.EOF means that the call has ended: Recv has
// the status.
func (s *Stream) Send(message mem.BufferSlice) error {
	if s.ctx.Err() != nil {
		s.cancel()
		return io.EOF
	}
	return s.send(message, false)
}

// CloseSend ends our half of the call.
func (s *Stream) CloseSend() error {
	c := s.conn
	if s.ctx.Err() != nil {
		s.cancel() // now: the server must not take a call for whole that was given up
		return nil
	}
	c.mu.Lock()
	turn := notOurs
	if c.table.has(s) && !s.closed {
		s.closed = true
		c.writer.frame(http2.FrameData, http2.FlagDataEndStream, s.id, 0)
		turn = c.claim()
	}
	c.mu.Unlock()
	c.flush(turn)
	return nil
}

// send sends a message as far as the windows allow, and waits for them.
func (s *Stream) send(message mem.BufferSlice, last bool) error {
	m := outgoing{buffers: message, left: message.Len() + prefixSize}
	binary.BigEndian.PutUint32(m.prefix[1:], uint32(m.left-prefixSize))
	c := s.conn
	for {
		c.mu.Lock()
		if !c.table.has(s) {
			c.mu.Unlock()
			return io.EOF
		}
		whole := s.put(&m, last)
		if whole {
			s.closed = last
		} else {
			c.windows.wait(s, m.left)
		}
		c.wake()
		turn := c.claim()
		c.mu.Unlock()
		c.flush(turn)
		if whole {
			return nil
		}
		select {
		case <-s.writable:
		case <-s.ctx.Done():
			return io.EOF
		}
	}
}

// put appends what may be sent now and reports whether that was all. c.mu is held.
func (s *Stream) put(m *outgoing, last bool) bool {
	c := s.conn
	for m.left > 0 {
		n := c.windows.room(s, min(m.left, c.writer.maxFrame))
		if n <= 0 || c.writer.full() {
			return false
		}
		c.windows.spend(s, n)
		flags := http2.Flags(0)
		if last && n == m.left {
			flags = http2.FlagDataEndStream
		}
		c.writer.frame(http2.FrameData, flags, s.id, n)
		c.writer.out = m.appendTo(c.writer.out, n)
		c.writer.sent++
	}
	return true
}

// outgoing is a message and how much of it is left to be sent.
type outgoing struct {
	prefix  [prefixSize]byte
	buffers mem.BufferSlice
	left    int // the prefix counts
	written int // of the prefix
	buffer  int // the one that is being sent
	offset  int // into it
}

// appendTo appends the next n bytes.
func (m *outgoing) appendTo(b []byte, n int) []byte {
	m.left -= n
	if k := min(n, prefixSize-m.written); k > 0 {
		b = append(b, m.prefix[m.written:m.written+k]...)
		m.written += k
		n -= k
	}
	for n > 0 {
		data := m.buffers[m.buffer].ReadOnlyData()[m.offset:]
		k := min(n, len(data))
		b = append(b, data[:k]...)
		n -= k
		if m.offset += k; k == len(data) {
			m.buffer, m.offset = m.buffer+1, 0
		}
	}
	return b
}
