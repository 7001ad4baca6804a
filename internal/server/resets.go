package server

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	defaultMaxResets = 100
	// takenBackWithin is how soon after its beginning a request ends that is taken back; who ends a stream
	// that went on for longer has made use of it.
	takenBackWithin = time.Second
)

// resets ends connections of HTTP/2 and HTTP/3 whose clients ask only to take back what they asked for: each of
// these requests costs the gateway, and perhaps a backend, much more than its client (Traffic 199). What
// is taken back before its handler has begun, net/http bounds.
type resets struct {
	most  int
	every time.Duration // of unread
	log   *slog.Logger

	ended  atomic.Int64 // connections
	warned atomic.Bool
}

func newResets(c *transomv1.Listener, log *slog.Logger) *resets {
	o := newFrontOptions(c)
	return &resets{most: int(cmp.Or(c.GetMaxResets(), defaultMaxResets)), every: o.idle + o.header, log: log}
}

// resetsKey is the key of the *connectionResets in a connection's context.
type resetsKey struct{}

// connectionResets are those of a connection.
type connectionResets struct {
	// client has the client's address, for which one waits where a load balancer has yet to tell it: whoever accepts
	// connections must not ask.
	client   interface{ RemoteAddr() net.Addr }
	end      func()
	requests atomic.Int64
	// any: from the first one on, it is noted when requests begin. over: there were too many, and
	// the next request ends the connection; the end of one takes all its requests back.
	any, over atomic.Bool
	late      atomic.Int64 // requests that came with over set, and were taken back before they began
	ending    sync.Once
	unread    unread // by HTTP/2

	mu     sync.Mutex
	since  time.Time
	before int64 // requests until then
	resets int   // since then
}

// begin has the resets of a connection counted.
func (s *resets) begin(ctx context.Context, c net.Conn) context.Context {
	of := &connectionResets{client: c, end: func() { calmDown(c, tooManyResets) }}
	of.unread.every, of.unread.end = s.every, func() { go calmDown(c, notRead) } // which may wait for the client
	return context.WithValue(ctx, resetsKey{}, of)
}

// beginPackets has those of a connection of QUIC counted.
func (s *resets) beginPackets(ctx context.Context, c *quic.Conn) context.Context {
	return context.WithValue(ctx, resetsKey{}, &connectionResets{client: c, end: func() {
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many resets") // it may have ended by then
	}})
}

// countedRequests are the requests whose resets are counted.
type countedRequests struct {
	next http.Handler
	by   *resets
}

// ServeHTTP implements http.Handler.
func (s *countedRequests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c *connectionResets
	if r.ProtoMajor >= 2 {
		c, _ = r.Context().Value(resetsKey{}).(*connectionResets)
	}
	if c == nil {
		s.next.ServeHTTP(w, r)
		return
	}
	if c.over.Load() {
		// Where the connection has ended, some of its requests may begin only now.
		if r.Context().Err() == nil || c.late.Add(1) > defaultMaxStreams {
			c.ending.Do(func() { s.by.end(c) })
		}
		return
	}
	if c.requests.Add(1) == 1 && r.ProtoMajor == 2 {
		c.unread.watch(&c.requests)
	}
	defer c.unread.done.Add(1)
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
		c.reset(now, s.by.most)
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

// Frames of GOAWAY with ENHANCE_YOUR_CALM (RFC 9113, section 6.8), of which all streams may have been seen.
var (
	tooManyResets = []byte("\x00\x00\x18" + calm + "too many resets.")
	notRead       = []byte("\x00\x00\x1c" + calm + "answers are not read")
)

// calm is what is behind the length of such a frame, but for its text.
const calm = "\x07\x00\x00\x00\x00\x00" + "\x7f\xff\xff\xff" + "\x00\x00\x00\x0b"

// end ends a connection.
func (s *resets) end(c *connectionResets) {
	s.ended.Add(1)
	level := slog.LevelDebug
	if !s.warned.Swap(true) {
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, "a connection ends, as its client takes back most of its requests, more than max_resets in a second; others like it are logged at the level debug",
		"client", c.client.RemoteAddr().String(), "limit", s.most)
	c.end()
}

// calmDown ends a connection of HTTP/2. The frame is written past net/http, which has no way to: where it is
// in the middle of a frame of its own, the client sees a broken one, and the end all the same.
func calmDown(c net.Conn, goAway []byte) {
	_ = c.SetWriteDeadline(time.Now().Add(answerTime)) // fails only on a closed connection, as the next lines do
	_, _ = c.Write(goAway)
	_ = c.Close()
}
