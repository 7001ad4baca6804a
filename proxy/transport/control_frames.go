package transport

import (
	"errors"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// controlBurst is how many frames a server may send that carry nothing of a
	// call: SETTINGS, each of its settings for itself, PING, WINDOW_UPDATE, RST_STREAM,
	// PRIORITY, unknown ones, empty DATA, and HEADERS of interim responses and of calls
	// that have ended.
	controlBurst = 1000
	// controlPerFrame is how many more each frame of a call allows, in either
	// direction: a server may answer each with updates of two windows and a ping.
	controlPerFrame = 10
	// controlPerSecond is how many more the time allows, for pings on a connection
	// without calls.
	controlPerSecond = 10
	// smallFrame is the size below which DATA of a call that has ended counts, unless it was
	// on its way when we reset the call.
	smallFrame = 512
)

// ErrFlood is wrapped where the server sent so many control frames that the
// connection was closed.
var ErrFlood = errors.New("the backend breaks the rules of HTTP/2: it floods the connection with control frames")

// controlFrames counts the frames of the server that carry nothing of a call,
// so that they cannot cost more than the calls do. The reader uses it.
type controlFrames struct {
	allowed int
	since   time.Time // of the last look at the clock
}

// called is told of a frame that carries a part of a call.
func (f *controlFrames) called() { f.allowed = min(f.allowed+controlPerFrame, controlBurst) }

// count takes note of a control frame. Where there were too many, it is the end
// of the connection.
func (r *reader) count() error {
	f := &r.control
	if f.allowed--; f.allowed >= 0 {
		return nil
	}
	now := time.Now()
	seconds := min(int64(now.Sub(f.since)/time.Second), controlBurst)
	r.conn.mu.Lock()
	sent := int64(r.conn.writer.sent)
	r.conn.writer.sent = 0
	r.conn.mu.Unlock()
	if seconds > 0 {
		f.since = now
	}
	if f.allowed += int(min(seconds*controlPerSecond, controlBurst) + sent*controlPerFrame); f.allowed >= 0 {
		return nil
	}
	r.conn.flooded.Store(true)
	r.conn.goAway(http2.ErrCodeEnhanceYourCalm)
	return floodError{}
}

// wasDue reports whether DATA of a call that has ended, of so many bytes, may have been on its way
// when the call was reset: a server sends what the call's window allows until it hears of that.
func (c *Conn) wasDue(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > c.due {
		return false
	}
	c.due -= n
	return true
}

// Flooded reports whether the connection was closed for the control frames that
// the server sent.
func (c *Conn) Flooded() bool { return c.flooded.Load() }

// goAway tells the server why the connection is about to be closed, as far as
// it reads.
func (c *Conn) goAway(code http2.ErrCode) {
	c.mu.Lock()
	c.writer.frame(http2.FrameGoAway, 0, 0, 8)
	c.writer.append(0, 0, 0, 0, byte(code>>24), byte(code>>16), byte(code>>8), byte(code))
	turn := c.claim()
	c.mu.Unlock()
	c.flush(turn)
}

// floodError is ErrFlood as the status of the connection's calls.
type floodError struct{}

func (floodError) Error() string { return ErrFlood.Error() }
func (floodError) Unwrap() error { return ErrFlood }

// GRPCStatus lets the status package see the status.
func (floodError) GRPCStatus() *status.Status {
	return status.New(codes.Unavailable, ErrFlood.Error())
}
