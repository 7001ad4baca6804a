package transport

import (
	"math"

	"golang.org/x/net/http2"
)

// windows are what the server lets us send on a connection (RFC 9113, 5.2). Conn.mu
// guards them, and the windows of the streams.
type windows struct {
	connection int64
	initial    int64                // of a new stream
	blocked    map[*Stream]struct{} // senders that wait for a window, or for the writer
}

// room returns how many of n bytes a stream may send.
func (w *windows) room(s *Stream, n int) int { return int(min(int64(n), w.connection, s.window)) }

// spend takes what a stream sends off its window and the connection's.
func (w *windows) spend(s *Stream, n int) {
	w.connection -= int64(n)
	s.window -= int64(n)
}

// wait puts a stream among those that are woken when there is more to send.
func (w *windows) wait(s *Stream) { w.blocked[s] = struct{}{} }

// grow takes an update of the connection's window.
func (w *windows) grow(n uint32) error {
	if w.connection += int64(n); w.connection > math.MaxInt32 {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	w.unblock()
	return nil
}

// growStream takes an update of one stream's window.
func (w *windows) growStream(s *Stream, n uint32) error {
	if s.window += int64(n); s.window > math.MaxInt32 {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	if _, waits := w.blocked[s]; waits {
		delete(w.blocked, s)
		signal(s.writable)
	}
	return nil
}

// begin changes what a new stream begins with, and the windows of those that there are
// by as much.
func (w *windows) begin(size uint32, streams map[uint32]*Stream) error {
	grown := int64(size) - w.initial
	w.initial = int64(size)
	for _, s := range streams {
		if s.window += grown; s.window > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
	}
	return nil
}

// unblock wakes all senders that wait.
func (w *windows) unblock() {
	for s := range w.blocked {
		delete(w.blocked, s)
		signal(s.writable)
	}
}
