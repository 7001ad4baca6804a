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
	blocked    map[*Stream]struct{} // senders that wait for connection, or for the writer
}

// room returns how many of n bytes a stream may send.
func (w *windows) room(s *Stream, n int) int { return int(min(int64(n), w.connection, s.window)) }

// spend takes what a stream sends off its window and the connection's.
func (w *windows) spend(s *Stream, n int) {
	w.connection -= int64(n)
	s.window -= int64(n)
}

// wait has a stream that has so many bytes left to send woken once there is room.
func (w *windows) wait(s *Stream, left int) {
	s.left = left
	if s.starved = s.window <= 0; !s.starved {
		w.blocked[s] = struct{}{}
	}
}

// grow takes an update of the connection's window.
func (w *windows) grow(n uint32) error {
	if w.connection += int64(n); w.connection > math.MaxInt32 {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	return nil
}

// growStream takes an update of one stream's window.
func (w *windows) growStream(s *Stream, n uint32) error {
	if s.window += int64(n); s.window > math.MaxInt32 {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	s.feed()
	return nil
}

// feed wakes a stream whose own window it was that it waited for.
func (s *Stream) feed() {
	if s.starved && s.window > 0 {
		s.starved = false
		signal(s.writable)
	}
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
		s.feed()
	}
	return nil
}

// wake wakes as many of the senders that wait as can send so many bytes: were all woken
// for each update, a server that gives little at a time would cost as often as many wait.
// Who is woken wakes the next one, or ends.
func (w *windows) wake(room int64) {
	room = min(room, w.connection)
	for s := range w.blocked {
		if room <= 0 {
			return
		}
		delete(w.blocked, s)
		signal(s.writable)
		room -= max(0, min(int64(s.left), s.window))
	}
}
