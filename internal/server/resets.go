package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultMaxResets = 100
	// takenBackWithin is how soon after its beginning a request ends that is taken back; who ends a stream
	// that went on for longer has made use of it.
	takenBackWithin = time.Second
)

// resets ends connections of HTTP/2 whose clients ask only to take back what they asked for: each of
// these requests costs the gateway, and perhaps a backend, much more than its client (Traffic 199). What
// is taken back before its handler has begun, net/http bounds.
type resets struct {
	next http.Handler
	most int
	log  *slog.Logger

	ended  atomic.Int64 // connections
	warned atomic.Bool
}

// resetsKey is the key of the *connectionResets in a connection's context.
type resetsKey struct{}

// connectionResets are those of a connection.
type connectionResets struct {
	conn     net.Conn
	requests atomic.Int64
	// any: from the first one on, it is noted when requests begin. over: there were too many, and
	// the next request ends the connection; the end of one takes all its requests back.
	any, over atomic.Bool
	ending    sync.Once

	mu     sync.Mutex
	since  time.Time
	before int64 // requests until then
	resets int   // since then
}

// begin has the resets of a connection counted.
func (s *resets) begin(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, resetsKey{}, &connectionResets{conn: c})
}

// ServeHTTP implements http.Handler.
func (s *resets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(resetsKey{}).(*connectionResets)
	if !ok || r.ProtoMajor != 2 {
		s.next.ServeHTTP(w, r)
		return
	}
	if c.over.Load() {
		c.ending.Do(func() { s.end(c) })
		return
	}
	c.requests.Add(1)
	var start time.Time // the first ones are taken to have begun just now
	if c.any.Load() {
		start = time.Now()
	}
	s.next.ServeHTTP(w, r)
	if r.Context().Err() == nil {
		return
	}
	now := time.Now()
	if start.IsZero() || now.Sub(start) < takenBackWithin {
		c.reset(now, s.most)
	}
}

// reset notes that a request was taken back.
func (c *connectionResets) reset(now time.Time, most int) {
	c.any.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	requests := c.requests.Load()
	if now.Sub(c.since) >= time.Second {
		c.since, c.before, c.resets = now, requests-1, 0
	}
	c.resets++
	if c.resets > most && int64(2*c.resets) > requests-c.before {
		c.over.Store(true)
	}
}

// calm is GOAWAY with ENHANCE_YOUR_CALM (RFC 9113, section 6.8), of which all streams may have been seen.
var calm = []byte("\x00\x00\x18\x07\x00\x00\x00\x00\x00" + "\x7f\xff\xff\xff" + "\x00\x00\x00\x0b" + "too many resets.")

// end ends a connection. The frame is written past net/http, which has no way to: where it is in the
// middle of a frame of its own, the client sees a broken one, and the end all the same.
func (s *resets) end(c *connectionResets) {
	s.ended.Add(1)
	level := slog.LevelDebug
	if !s.warned.Swap(true) {
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, "a connection ends, as its client takes back most of its requests, more than max_resets in a second; others like it are logged at the level debug",
		"client", c.conn.RemoteAddr().String(), "limit", s.most)
	_ = c.conn.SetWriteDeadline(time.Now().Add(answerTime)) // fails only on a closed connection, as the next lines do
	_, _ = c.conn.Write(calm)
	_ = c.conn.Close()
}
