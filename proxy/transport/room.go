package transport

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

const (
	// freeMessage is the size up to which a message of the server is not counted:
	// it comes within the window that a stream begins with.
	freeMessage = defaultWindow - prefixSize
	// roomWait is how long a message waits for room. Whoever holds the room is
	// either read by the client or given up on in about this time.
	roomWait = 30 * time.Second
)

// ErrNoRoom is the status of an answer that found no room beside others that
// wait for the same client.
var ErrNoRoom = status.Error(codes.ResourceExhausted, "the client does not read: too many bytes of answers wait on its connection")

// Room bounds what the answers hold that wait to be written to one client's
// connection, in bytes. It is safe for concurrent use.
type Room struct {
	limit int64

	mu      sync.Mutex
	held    int64
	waiting []*claim // first come, first served
}

type roomKey struct{}

// WithRoom gives the calls of a client's connection a room of their own.
func WithRoom(ctx context.Context, limit int64) context.Context {
	return context.WithValue(ctx, roomKey{}, &Room{limit: limit})
}

// RoomOf returns the room of a context, nil for none.
func RoomOf(ctx context.Context) *Room {
	r, _ := ctx.Value(roomKey{}).(*Room)
	return r
}

// Held returns the bytes that are taken.
func (r *Room) Held() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// release gives back n bytes.
func (r *Room) release(n int64) {
	r.mu.Lock()
	r.held -= n
	ready := r.admit()
	r.mu.Unlock()
	for _, c := range ready {
		c.granted()
	}
}

// admit takes the room of those that have waited longest, as far as it goes.
// What is larger than the whole room gets it alone. r.mu is held.
func (r *Room) admit() (ready []*claim) {
	for len(r.waiting) > 0 {
		c := r.waiting[0]
		if r.held > 0 && r.held+c.size > r.limit {
			break
		}
		r.waiting = r.waiting[1:]
		r.held += c.size
		ready = append(ready, c)
	}
	return ready
}

// claim is the room of one message. Once the message is there, it is the pool of
// its buffer: freeing that gives the room back.
type claim struct {
	room    *Room
	size    int64
	stream  *Stream
	pool    mem.BufferPool
	timer   *time.Timer // of a claim that waits
	waiting bool        // guarded by stream.mu
}

var _ mem.BufferPool = (*claim)(nil)

// Get implements mem.BufferPool.
func (c *claim) Get(n int) *[]byte { return c.pool.Get(n) }

// Put implements mem.BufferPool.
func (c *claim) Put(b *[]byte) {
	c.pool.Put(b)
	c.room.release(c.size)
}

// claim takes room for a message that is about to come. Where there is none,
// the stream's window stays as it is until there is. The reader calls it.
func (s *Stream) claim(size int) {
	r := RoomOf(s.ctx)
	if r == nil {
		return
	}
	c := &claim{room: r, size: int64(size), stream: s, pool: s.conn.options.Pool}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return
	}
	s.in.claim, s.claimed = c, true
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, c)
	if len(r.waiting) == 1 && len(r.admit()) == 1 {
		return
	}
	c.waiting = true
	c.timer = time.AfterFunc(roomWait, c.giveUp)
}

// granted lets the message come.
func (c *claim) granted() {
	s := c.stream
	s.mu.Lock()
	if s.in.claim != c {
		s.mu.Unlock() // the call has ended meanwhile, and drop has given the room back
		return
	}
	c.waiting = false
	c.timer.Stop()
	credit := s.in.grant(s)
	s.mu.Unlock()
	s.widen(credit)
}

func (c *claim) giveUp() {
	s := c.stream
	s.mu.Lock()
	waiting := s.in.claim == c && c.waiting
	s.mu.Unlock()
	if waiting {
		s.closeWith(http2.ErrCodeCancel, ErrNoRoom)
	}
}

// drop gives up a claim whose message does not come. The stream has let go of it.
func (c *claim) drop() {
	if c == nil {
		return
	}
	r := c.room
	if c.timer != nil {
		c.timer.Stop()
	}
	r.mu.Lock()
	n := c.size
	if i := slices.Index(r.waiting, c); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
		n = 0 // but whoever stood behind it may fit
	}
	r.mu.Unlock()
	r.release(n)
}

// waitsForRoom reports whether the message that is arriving has no room yet.
func (s *Stream) waitsForRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.claim != nil && s.in.claim.waiting
}

// bufferPool is the pool of the message that has arrived: its claim, which is
// the message's from now on, or the connection's. A message that fitted into a
// window that had grown before has never had to wait for its room.
func (s *Stream) bufferPool() mem.BufferPool {
	s.mu.Lock()
	c := s.in.claim
	s.in.claim = nil
	waiting := c != nil && c.waiting
	s.mu.Unlock()
	switch {
	case waiting:
		c.drop()
	case c != nil:
		return c
	}
	return s.conn.options.Pool
}
