package transport

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// readBuffer is the size of the buffer before the socket.
	readBuffer = 32 << 10
	// defaultWindow, defaultMaxFrame are HTTP/2's initial values (RFC 9113, 6.5.2).
	defaultWindow   = 65535
	defaultMaxFrame = 16384
	// connWindow is what the server may send on the connection without hearing
	// from us. It holds nobody back: streams do.
	connWindow = 16 << 20
	// maxHeaderList bounds one header block of the server, in bytes as RFC 9113,
	// 6.5.2 counts them.
	maxHeaderList = 1 << 20
	// maxHeaderBlock bounds one header block as it comes, in bytes, its frames'
	// heads included: one that is too large for us is still read, for the sake of
	// the other calls, one that does not end is not.
	maxHeaderBlock = 4 * maxHeaderList
	// frameHead is the size of a frame's head.
	frameHead = 9
	// maxFrame bounds our frames where the server takes larger ones, so that calls
	// take turns.
	maxFrame = 64 << 10
	// maxQueued bounds what is written to a server that does not read.
	maxQueued = 1 << 20
	// lastStreamID is the last one to be used: the next ends the numbers.
	lastStreamID = 1<<31 - 3
)

// Conn is one connection to a gRPC server. It is safe for concurrent use.
type Conn struct {
	net     net.Conn
	options Options
	reader  reader

	pingsTooOften atomic.Bool   // the server finds that we ping too often
	flooded       atomic.Bool   // the server sent too many control frames
	heard         atomic.Bool   // a frame came since the last look of keepalive
	done          chan struct{} // closed when the reader has ended
	leaving       chan struct{} // closed when refused is set

	mu       sync.Mutex
	table    table
	windows  windows
	writer   writer
	pinged   bool   // a keepalive ping is not yet answered
	goneAway bool   // the server has said that it is leaving
	refused  string // why there are no new streams; empty: there are
	err      error  // why the connection is closed
	due      int64  // bytes of DATA that may be on their way for calls that were reset
}

// New speaks HTTP/2 on a connection and returns when the server has answered
// with its settings. It takes the connection over, also when it fails.
func New(ctx context.Context, conn net.Conn, options Options) (*Conn, error) {
	if options.Scheme == "" {
		options.Scheme = "http"
	}
	c := &Conn{
		net:     conn,
		options: options,
		done:    make(chan struct{}),
		leaving: make(chan struct{}),
		table:   table{streams: map[uint32]*Stream{}, next: 1, limit: 1<<32 - 1, loads: options.Loads, onBusy: options.Busy},
		windows: windows{connection: defaultWindow, initial: defaultWindow, blocked: map[*Stream]struct{}{}},
		writer:  writer{raw: rawConn(conn), maxFrame: defaultMaxFrame},
	}
	c.table.allowed.Store(c.table.limit)
	c.writer.encoder = hpack.NewEncoder(&c.writer.block)
	c.reader.start(c)
	if err := c.greet(ctx); err != nil {
		_ = conn.Close() // err is the one to report
		return nil, err
	}
	go c.reader.read()
	if options.Keepalive > 0 {
		go c.keepAlive()
	}
	return c, nil
}

// greet exchanges settings (RFC 9113, 3.4). The context bounds it.
func (c *Conn) greet(ctx context.Context) error {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.net.SetDeadline(time.Unix(1, 0)) // frees the read
		close(interrupted)
	})
	err := c.preface()
	if !stop() {
		<-interrupted
		if err == nil {
			err = ctx.Err()
		}
	}
	return err
}

func (c *Conn) preface() error {
	hello := append([]byte(http2.ClientPreface), 0)[:len(http2.ClientPreface)]
	hello = appendFrame(hello, http2.FrameSettings, 0, 0, 12)
	hello = appendSetting(hello, http2.SettingEnablePush, 0)
	hello = appendSetting(hello, http2.SettingMaxHeaderListSize, maxHeaderList)
	hello = appendUint32(hello, http2.FrameWindowUpdate, 0, connWindow-defaultWindow)
	if _, err := c.net.Write(hello); err != nil {
		return err
	}
	frame, err := c.reader.framer.ReadFrame()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPreface, err)
	}
	first, ok := frame.(*http2.SettingsFrame)
	if !ok || first.IsAck() {
		return fmt.Errorf("%w: a frame of type %s, want SETTINGS", ErrPreface, frame.Header().Type)
	}
	return c.reader.onSettings(first)
}

// Done is closed when the connection is closed and none of its goroutines reads
// any more.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Leaving is closed when the connection takes no new calls: the server is
// leaving, or it is closed.
func (c *Conn) Leaving() <-chan struct{} { return c.leaving }

// isLeft reports whether the server has said that it is leaving.
func (c *Conn) isLeft() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goneAway
}

// Close ends all calls.
func (c *Conn) Close() {
	c.fail(status.Error(codes.Canceled, "the gateway closes the connection to the backend"))
}

// TooManyPings reports whether the server has closed the connection because it was
// pinged too often.
func (c *Conn) TooManyPings() bool { return c.pingsTooOften.Load() }

// Leave takes no new calls and closes the connection with the last one.
func (c *Conn) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse("the connection to the backend is being left")
	c.retire()
}

// fail closes the connection and ends all calls with the error.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.refuse("the connection to the backend is closed")
	streams := c.table.takeAll()
	clear(c.windows.blocked)
	c.mu.Unlock()
	for _, s := range streams {
		s.closeWith(noReset, err)
	}
	_ = c.net.Close() // last: TLS says goodbye, and waits where the server does not read
}

// refuse stops new calls. c.mu is held.
func (c *Conn) refuse(reason string) {
	if c.refused != "" {
		return
	}
	c.refused = reason
	close(c.leaving)
}

// retire closes a connection that is leaving once its last call has ended.
// c.mu is held.
func (c *Conn) retire() {
	if c.refused != "" && len(c.table.streams) == 0 && c.err == nil {
		go c.Close()
	}
}

// stream returns the stream of a frame, nil for one that has ended, and an error
// for one that never was.
func (c *Conn) stream(id uint32) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.find(id)
}

// forget takes a stream off the connection and reports whether it was there.
// code resets it on the server, unless it is noReset; due is how many bytes of DATA
// the server may have sent by the time that it hears of a reset.
func (c *Conn) forget(s *Stream, code http2.ErrCode, due int64) bool {
	c.mu.Lock()
	if !c.table.has(s) {
		c.mu.Unlock()
		return false
	}
	c.drop(s)
	if code != noReset {
		c.due = min(c.due+max(due, 0), connWindow)
	} else if !s.closed {
		// The server has ended the call and does not want the rest of the request.
		code = http2.ErrCodeNo
	}
	turn := notOurs
	if code != noReset && c.err == nil {
		c.writer.number(http2.FrameRSTStream, s.id, uint32(code))
		turn = c.claim()
	}
	c.mu.Unlock()
	c.flush(turn)
	return true
}

// noReset is no error code: nothing is to be said to the server.
const noReset = http2.ErrCode(1<<32 - 1)

// drop takes a stream off the connection. c.mu is held.
func (c *Conn) drop(s *Stream) {
	c.table.remove(s)
	delete(c.windows.blocked, s)
	c.wake() // it may have been woken in vain
	c.offer()
	c.retire()
}

// Full reports whether the server takes no call more.
func (c *Conn) Full() bool { return c.table.full.Load() }

// Busy reports whether there are 80 % of the streams that the server allows.
func (c *Conn) Busy() bool { return c.table.busy.Load() }

// Limit is how many streams the server allows at once.
func (c *Conn) Limit() uint32 { return c.table.allowed.Load() }

// Active is how many streams are open, those that are kept for calls that waited
// included.
func (c *Conn) Active() int { return int(c.table.active.Load()) }

// Offer gives streams to those that wait, as far as the server takes them.
func (c *Conn) Offer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offer()
}

// Return gives back a stream that was kept for a call.
func (c *Conn) Return() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.table.promise(-1)
	c.offer()
}

// offer is Offer: call it whenever there are fewer streams than before, or the server
// takes more. c.mu is held.
func (c *Conn) offer() {
	for c.refused == "" && !c.table.full.Load() && c.options.Room != nil && c.options.Room(c) {
		c.table.promise(1)
	}
}
