package transport

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"syscall"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// writer is what waits to be written. Conn.mu guards it.
type writer struct {
	raw      syscall.RawConn // nil: there is no write that does not wait
	out      []byte
	spare    []byte // the buffer that was written before
	writing  bool   // a goroutine is at it, and will take what is appended
	crowded  bool   // a sender waits for less to be waiting
	attempt  attempt
	sent     int            // frames of calls, since the reader last looked
	encoder  *hpack.Encoder // of header blocks, into block
	block    bytes.Buffer
	maxFrame int // of the server, in bytes

	// maxHeaders bounds a header list, as the server wishes; 0: no limit.
	maxHeaders uint32
}

// turn is who writes what has been appended, and when.
type turn byte

const (
	// notOurs: nobody needs to, or the goroutine that is writing will.
	notOurs turn = iota
	// now: we do.
	now
	// afterOthers: we do once others that are about to append something have done so.
	afterOthers
)

// gather is how little is waiting when a writer lets other callers append first.
const gather = 1000

// maxRounds is how often a caller writes what others have appended meanwhile,
// before its own call goes on.
const maxRounds = 8

// claim says whose turn it is to write. Whoever calls it owes a flush, without the lock.
// c.mu is held.
func (c *Conn) claim() turn {
	w := &c.writer
	switch {
	case w.writing || c.err != nil:
		return notOurs
	case len(w.out) < gather && len(c.table.streams) > 1:
		w.writing = true
		return afterOthers // one system call for all
	}
	w.writing = true
	return now
}

// flush writes what is waiting, if it is our turn. It does not wait for the server: what
// the socket does not take is left to a goroutine.
func (c *Conn) flush(t turn) {
	switch t {
	case notOurs:
		return
	case afterOthers:
		runtime.Gosched()
	}
	if c.writer.raw == nil {
		go c.writeAll(nil, 0)
		return
	}
	out := c.next(nil)
	for round := 0; out != nil; round++ {
		n := 0
		if round < maxRounds {
			var err error
			if n, err = c.writer.attempt.write(c.writer.raw, out); err != nil {
				c.broken()
				return
			}
		}
		if n < len(out) {
			go c.writeAll(out, n)
			return
		}
		out = c.next(out)
	}
}

// writeAll writes what is left of out after n bytes, and all that is waiting, as slowly
// as the server takes it.
func (c *Conn) writeAll(out []byte, n int) {
	if out == nil {
		out = c.next(nil)
	}
	for out != nil {
		if _, err := c.net.Write(out[n:]); err != nil {
			c.broken()
			return
		}
		out, n = c.next(out), 0
	}
}

func (c *Conn) broken() {
	c.fail(status.Error(codes.Unavailable, "the connection to the backend broke"))
}

// next takes a buffer back that was written, nil for none, and returns what is to be
// written next. It is nil at the end of our turn.
func (c *Conn) next(written []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.writer
	woken := false
	if written != nil {
		w.put(written)
		woken, w.crowded = w.crowded, false
	}
	var out []byte
	if len(w.out) == 0 || c.err != nil {
		w.writing = false
	} else {
		out = w.out
		w.out, w.spare = w.spare[:0], nil
	}
	if woken {
		c.wake()
	}
	return out
}

// wake wakes senders that wait, as far as there is room in the connection's window and
// the writer. Call it whenever there may be more than before, also where a sender that
// was woken did not take all. c.mu is held.
func (c *Conn) wake() {
	if len(c.windows.blocked) > 0 && !c.writer.full() {
		c.windows.wake(int64(crowded + 1 - len(c.writer.out)))
	}
}

// put keeps a written buffer for later, unless it has grown large.
func (w *writer) put(written []byte) {
	if cap(written) <= 4*defaultWindow {
		w.spare = written[:0]
	}
}

// stuck reports whether so much is waiting that the server seems not to read.
func (w *writer) stuck() bool { return len(w.out) > maxQueued }

// full reports whether senders have to wait for less to be waiting. They are woken then.
func (w *writer) full() bool {
	if len(w.out) > crowded {
		w.crowded = true
		return true
	}
	return false
}

// append appends a part of a frame.
func (w *writer) append(b ...byte) { w.out = append(w.out, b...) }

// frame appends the head of a frame.
func (w *writer) frame(kind http2.FrameType, flags http2.Flags, id uint32, length int) {
	w.out = appendFrame(w.out, kind, flags, id, length)
}

// number appends a WINDOW_UPDATE or RST_STREAM frame.
func (w *writer) number(kind http2.FrameType, id, value uint32) {
	w.out = appendUint32(w.out, kind, id, value)
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
