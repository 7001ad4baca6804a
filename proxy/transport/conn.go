package transport

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
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
	raw     syscall.RawConn // nil: there is no write that does not wait
	options Options

	// reader's own
	br     *bufio.Reader
	framer *http2.Framer
	hpack  *hpack.Decoder
	fields fields
	// received are the bytes of DATA since the last update of the window.
	received int
	control  controlFrames

	active        atomic.Int32 // streams that are open or promised; mu guards changes
	full          atomic.Bool  // there are as many streams as the server allows; mu guards changes
	pingsTooOften atomic.Bool  // the server finds that we ping too often
	flooded       atomic.Bool  // the server sent too many control frames
	heard         atomic.Bool  // a frame came since the last look of keepalive
	done          chan struct{}

	mu       sync.Mutex
	streams  map[uint32]*Stream
	nextID   uint32
	encoder  *hpack.Encoder
	block    bytes.Buffer // the encoder's output
	window   int64        // what we may send on the connection
	sent     int          // frames of calls, since the reader last looked
	server   settings
	blocked  map[*Stream]struct{} // senders that wait for a window
	pinged   bool                 // a keepalive ping is not yet answered
	promised int                  // streams that are kept for calls that waited
	refused  string               // why there are no new streams; empty: there are
	leaving  chan struct{}        // closed when refused is set
	err      error                // why the connection is closed
	writer
}

// settings are the server's (RFC 9113, 6.5.2).
type settings struct {
	window     int64 // of a new stream
	maxFrame   int
	maxStreams uint32
	maxHeaders uint32 // of a header list; 0: no limit
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
		br:      bufio.NewReaderSize(conn, readBuffer),
		done:    make(chan struct{}),
		leaving: make(chan struct{}),
		streams: map[uint32]*Stream{},
		blocked: map[*Stream]struct{}{},
		nextID:  1,
		window:  defaultWindow,
		control: controlFrames{allowed: controlBurst, since: time.Now()},
		server:  settings{window: defaultWindow, maxFrame: defaultMaxFrame, maxStreams: 1<<32 - 1},
	}
	c.raw = rawConn(conn)
	c.framer = http2.NewFramer(nil, c.br)
	c.framer.SetMaxReadFrameSize(defaultMaxFrame)
	c.framer.SetReuseFrames()
	c.encoder = hpack.NewEncoder(&c.block)
	c.hpack = hpack.NewDecoder(4096, c.fields.add)
	c.hpack.SetMaxStringLength(maxHeaderList)
	if err := c.greet(ctx); err != nil {
		_ = conn.Close() // err is the one to report
		return nil, err
	}
	go c.read()
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
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPreface, err)
	}
	first, ok := frame.(*http2.SettingsFrame)
	if !ok || first.IsAck() {
		return fmt.Errorf("%w: a frame of type %s, want SETTINGS", ErrPreface, frame.Header().Type)
	}
	return c.onSettings(first)
}

// Done is closed when the connection is closed and none of its goroutines reads
// any more.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Leaving is closed when the connection takes no new calls: the server is
// leaving, or it is closed.
func (c *Conn) Leaving() <-chan struct{} { return c.leaving }

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
	streams := c.streams
	c.streams = map[uint32]*Stream{}
	clear(c.blocked)
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
	if c.refused != "" && len(c.streams) == 0 && c.err == nil {
		go c.Close()
	}
}

// stream returns the stream of a frame, nil for one that has ended, and an error
// for one that never was.
func (c *Conn) stream(id uint32) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil {
		return s, nil
	}
	if id%2 == 0 || id >= c.nextID {
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil, nil
}

// forget takes a stream off the connection and reports whether it was there.
// code resets it on the server, unless it is noReset.
func (c *Conn) forget(s *Stream, code http2.ErrCode) bool {
	c.mu.Lock()
	if c.streams[s.id] != s {
		c.mu.Unlock()
		return false
	}
	c.drop(s)
	if code == noReset && !s.closed {
		// The server has ended the call and does not want the rest of the request.
		code = http2.ErrCodeNo
	}
	if code != noReset && c.err == nil {
		c.out = appendUint32(c.out, http2.FrameRSTStream, s.id, uint32(code))
		c.flush()
		return true
	}
	c.mu.Unlock()
	return true
}

// noReset is no error code: nothing is to be said to the server.
const noReset = http2.ErrCode(1<<32 - 1)

// drop takes a stream off the connection. c.mu is held.
func (c *Conn) drop(s *Stream) {
	delete(c.streams, s.id)
	delete(c.blocked, s)
	c.offer()
	c.retire()
}

// Full reports whether the server takes no call more.
func (c *Conn) Full() bool { return c.full.Load() }

// Active is how many streams are open, those that are kept for calls that waited
// included.
func (c *Conn) Active() int { return int(c.active.Load()) }

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
	c.promised--
	c.offer()
}

// offer is Offer, and keeps full up to date: call it whenever there are fewer
// streams than before, or the server takes more. c.mu is held.
func (c *Conn) offer() {
	c.updateFull()
	for c.refused == "" && !c.full.Load() && c.options.Room != nil && c.options.Room(c) {
		c.promised++
		c.updateFull()
	}
}

// updateFull keeps active and full up to date. c.mu is held.
func (c *Conn) updateFull() {
	active := len(c.streams) + c.promised
	c.active.Store(int32(active))
	if full := uint64(active) >= uint64(c.server.maxStreams); full != c.full.Load() {
		c.full.Store(full)
	}
}

// keepAlive pings a silent connection that has calls (the server counts pings
// on one without as abuse).
func (c *Conn) keepAlive() {
	const patience = 10 * time.Second
	timer := time.NewTimer(c.options.Keepalive)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-timer.C:
		}
		wait := c.options.Keepalive
		c.mu.Lock()
		switch {
		case c.heard.Swap(false):
			c.pinged = false
			c.mu.Unlock()
		case c.pinged:
			c.mu.Unlock()
			c.fail(status.Error(codes.Unavailable, "the backend does not answer"))
			return
		case len(c.streams) > 0 && c.err == nil:
			c.pinged = true
			wait = patience
			c.out = appendFrame(c.out, http2.FramePing, 0, 0, 8)
			c.out = append(c.out, "transom."...)
			c.flush()
		default:
			c.mu.Unlock()
		}
		timer.Reset(wait)
	}
}
