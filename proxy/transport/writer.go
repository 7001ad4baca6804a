package transport

import (
	"encoding/binary"
	"runtime"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// writer is what waits to be written. Conn.mu guards it.
type writer struct {
	out     []byte
	spare   []byte // the buffer that was written before
	writing bool   // a goroutine is at it, and will take what is appended
	crowded bool   // a sender waits for less to be waiting
	attempt attempt
}

// gather is how little is waiting when a writer lets other callers append first.
const gather = 1000

// maxRounds is how often a caller writes what others have appended meanwhile,
// before its own call goes on.
const maxRounds = 8

// flush writes what is waiting, or leaves it to the goroutine that is writing.
// It does not wait for the server: what the socket does not take is left to a
// goroutine. c.mu is held, and is released.
func (c *Conn) flush() {
	if c.writing || c.err != nil {
		c.mu.Unlock()
		return
	}
	c.writing = true
	if len(c.out) < gather && len(c.streams) > 1 {
		// Other callers are probably about to write: one system call for all.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	if c.raw == nil {
		c.mu.Unlock()
		go c.writeAll()
		return
	}
	for round := 0; len(c.out) > 0 && c.err == nil; round++ {
		if round == maxRounds {
			c.mu.Unlock()
			go c.writeAll()
			return
		}
		out := c.take()
		c.mu.Unlock()
		n, err := c.attempt.write(c.raw, out)
		c.mu.Lock()
		if err != nil {
			c.mu.Unlock()
			c.broken()
			return
		}
		if n < len(out) {
			// In front of what was appended since.
			c.out = append(out[n:], c.out...)
			c.mu.Unlock()
			go c.writeAll()
			return
		}
		c.put(out)
		c.relieve()
	}
	c.writing = false
	c.mu.Unlock()
}

// writeAll writes all that is waiting, as slowly as the server takes it.
func (c *Conn) writeAll() {
	c.mu.Lock()
	for len(c.out) > 0 && c.err == nil {
		out := c.take()
		c.mu.Unlock()
		_, err := c.net.Write(out)
		if err != nil {
			c.broken()
			return
		}
		c.mu.Lock()
		c.put(out)
		c.relieve()
	}
	c.writing = false
	c.mu.Unlock()
}

func (c *Conn) broken() {
	c.fail(status.Error(codes.Unavailable, "the connection to the backend broke"))
}

// take returns what is waiting. c.mu is held.
func (c *Conn) take() []byte {
	out := c.out
	c.out = c.spare[:0]
	c.spare = nil
	return out
}

// relieve wakes senders that wait for less to be waiting. c.mu is held.
func (c *Conn) relieve() {
	if c.crowded {
		c.crowded = false
		c.unblock()
	}
}

// put keeps a written buffer for later, unless it has grown large. c.mu is held.
func (c *Conn) put(written []byte) {
	if cap(written) <= 4*defaultWindow {
		c.spare = written[:0]
	}
}

// unblock wakes all senders that wait. c.mu is held.
func (c *Conn) unblock() {
	for s := range c.blocked {
		delete(c.blocked, s)
		signal(s.writable)
	}
}

// appendFrame appends the head of a frame (RFC 9113, 4.1).
func appendFrame(b []byte, kind http2.FrameType, flags http2.Flags, id uint32, length int) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags),
		byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

// appendUint32 appends a WINDOW_UPDATE or RST_STREAM frame.
func appendUint32(b []byte, kind http2.FrameType, id, value uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, kind, 0, id, 4), value)
}

func appendSetting(b []byte, id http2.SettingID, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(id)), value)
}
