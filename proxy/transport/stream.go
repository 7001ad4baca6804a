package transport

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Stream is one call. One goroutine may send while another receives.
type Stream struct {
	conn  *Conn
	ctx   context.Context
	id    uint32
	limit int
	unary bool // only the end is signalled
	aside bool // it is no load

	window   int64         // what we may send; guarded by conn.mu
	left     int           // of the message that waits to be sent; guarded by conn.mu
	starved  bool          // which waits for window; guarded by conn.mu
	closed   bool          // we have ended our half; guarded by conn.mu
	writable chan struct{} // the windows have changed, or the call has ended
	stop     func() bool   // of the watch over ctx; nil for unary calls

	wake chan struct{} // something arrived, or the call has ended

	mu       sync.Mutex
	header   metadata.MD
	trailer  metadata.MD
	began    bool   // the header has come; the reader's own
	encoding string // grpc-encoding; the reader's own
	answered bool   // the server itself has ended the call
	ending   bool   // the call has ended, and is being taken off the connection
	ended    bool   // and has been
	err      error  // of the end; nil for status OK
	recycle  bool   // nobody but the caller can touch it any more
	claimed  bool   // a claim may still know it
	in       incoming
}

// idle keeps streams of unary calls whose end was seen by both sides.
var idle = sync.Pool{New: func() any {
	return &Stream{writable: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}}

// signal wakes the one that waits, now or next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Call sends one message and waits for one.
func (c *Conn) Call(ctx context.Context, r *Request) (Reply, error) {
	s := idle.Get().(*Stream)
	s.unary = true
	if err := c.start(ctx, s, r); err != nil {
		idle.Put(s)
		return Reply{}, err
	}
	if err := s.send(r.Message, true); err == nil || err == io.EOF {
		select {
		case <-s.wake:
			return s.reply()
		case <-ctx.Done():
		}
	}
	s.cancel()
	<-s.wake
	return s.reply()
}

// reply takes the answer of a unary call that has ended.
func (s *Stream) reply() (Reply, error) {
	s.mu.Lock()
	reply, err, count := Reply{Header: s.header, Trailer: s.trailer}, s.err, s.in.messages.len()
	if count > 0 {
		if message := s.in.messages.next(); message != nil {
			reply.Message = mem.BufferSlice{message}
		}
	}
	recycle := s.recycle && !s.claimed
	s.mu.Unlock()
	if recycle {
		s.reset()
		idle.Put(s)
	}
	switch {
	case err != nil:
		reply.Message.Free()
		reply.Message = nil
	case count == 0:
		err = ErrNoAnswer
	}
	return reply, err
}

// reset makes a stream as good as new. Nobody else holds it.
func (s *Stream) reset() {
	select {
	case <-s.writable:
	default:
	}
	*s = Stream{writable: s.writable, wake: s.wake}
}

// Open begins a stream, which ends with ctx.
func (c *Conn) Open(ctx context.Context, r *Request) (*Stream, error) {
	s := &Stream{writable: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	if err := c.start(ctx, s, r); err != nil {
		return nil, err
	}
	c.mu.Lock()
	turn := c.claim()
	c.mu.Unlock()
	c.flush(turn)
	stop := context.AfterFunc(ctx, s.cancel)
	s.mu.Lock()
	ending := s.ending
	s.stop = stop
	s.mu.Unlock()
	if ending {
		stop()
	}
	return s, nil
}

// start gives the stream a number and queues its header.
func (c *Conn) start(ctx context.Context, s *Stream, r *Request) error {
	size, err := CheckMetadata(r.Header)
	if err != nil {
		err = &statusOf{err, ErrRequest}
	} else {
		err = status.FromContextError(ctx.Err()).Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Reserved {
		c.table.promise(-1)
	}
	if err == nil {
		err = c.begin(ctx, s, r, size)
	}
	if err != nil && r.Reserved {
		c.offer() // to the next one
	}
	return err
}

// begin begins a stream for a request whose metadata has so many bytes. c.mu is
// held.
func (c *Conn) begin(ctx context.Context, s *Stream, r *Request, size int64) error {
	switch {
	case c.refused != "":
		return &notSeen{c.refused, ErrUnsent}
	case c.table.full.Load():
		return ErrFull
	}
	timeout := ""
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if left <= 0 {
			return status.FromContextError(context.DeadlineExceeded).Err()
		}
		timeout = timeoutText(left)
	}
	switch limit := c.writer.maxHeaders; {
	case limit > 0 && size > int64(limit):
		return &statusOf{status.Errorf(codes.ResourceExhausted, "the metadata has %d bytes, the backend takes %d", size, limit), ErrRequest}
	case c.writer.stuck():
		return status.Error(codes.Unavailable, "the backend does not read")
	}
	s.conn, s.ctx, s.limit, s.aside = c, ctx, r.Limit, r.Aside
	s.window = c.windows.initial
	s.in.window, s.in.target = defaultWindow, defaultWindow
	if c.table.add(s) {
		c.refuse("the connection has no numbers for streams left")
	}
	c.writer.headers(s.id, r, &c.options, timeout)
	return nil
}

// cancel ends the call from our side.
func (s *Stream) cancel() {
	s.closeWith(http2.ErrCodeCancel, status.FromContextError(s.ctx.Err()).Err())
}

// closeWith ends the call, unless it has ended before. code resets it on the
// server, unless it is noReset.
func (s *Stream) closeWith(code http2.ErrCode, err error) { s.close(code, err, false) }

// close ends the call. Where last is set, the reader will not touch the stream
// again, so that it can be used for another call.
func (s *Stream) close(code http2.ErrCode, err error, last bool) {
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return
	}
	s.ending = true
	stop, claim, due := s.stop, s.in.claim, s.in.window
	s.in.claim = nil
	s.mu.Unlock()
	claim.drop()
	// Before the caller sees the end: the call it makes next must not find this one
	// among those under way. Whoever took it off is the last that can have it.
	recycle := s.conn.forget(s, code, due) && last
	s.mu.Lock()
	s.ended, s.err, s.recycle = true, err, recycle
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	signal(s.writable)
	signal(s.wake)
}

// unseen is the error of a call that the server says it has not looked at. It has where
// its answer has begun; then the call must not be made again. The reader calls it.
func (s *Stream) unseen(reason string) error {
	if s.began {
		return status.Error(codes.Unavailable, reason)
	}
	return &notSeen{reason, ErrUnprocessed}
}

// onFields takes a header block of the server; the reader calls it.
func (s *Stream) onFields(f *fields) {
	switch {
	case f.trouble != "":
		s.closeWith(http2.ErrCodeCancel, status.Error(codes.Internal, f.trouble))
	case !s.began && !f.isGRPC() && f.grpcStatus == "":
		s.closeWith(http2.ErrCodeCancel, s.foreign(f))
	case f.ends:
		s.mu.Lock()
		s.trailer = f.metadata
		s.answered = true
		s.mu.Unlock()
		err := f.verdict()
		if err == nil && s.in.within() {
			err = status.Error(codes.Internal, "the backend ended the call within a message")
		}
		s.close(noReset, err, true)
	case s.began:
		s.closeWith(http2.ErrCodeProtocol, status.Error(codes.Internal, "the backend sent trailers that do not end the call"))
	default:
		s.began = true
		s.encoding = f.encoding
		s.mu.Lock()
		if s.header = f.metadata; s.header == nil && !s.unary {
			s.header = metadata.MD{}
		}
		s.mu.Unlock()
		if !s.unary {
			signal(s.wake)
		}
	}
}

// Header waits for the server's header. It is nil where the server sent
// trailers only.
func (s *Stream) Header() (metadata.MD, error) {
	for {
		s.mu.Lock()
		header, answered, ended, err := s.header, s.answered, s.ended, s.err
		s.mu.Unlock()
		switch {
		case header != nil:
			return header, nil
		case ended && err != nil && !answered:
			return nil, err
		case ended:
			return nil, nil
		}
		<-s.wake
	}
}

// Recv returns the next message; it is the caller's. io.EOF is the end with
// status OK.
func (s *Stream) Recv() (mem.BufferSlice, error) {
	for {
		s.mu.Lock()
		if s.in.messages.len() > 0 {
			message, credit := s.in.next()
			s.in.wanted = false
			s.mu.Unlock()
			s.widen(credit)
			if message == nil {
				return nil, nil
			}
			return mem.BufferSlice{message}, nil
		}
		if s.ended {
			err := s.err
			s.mu.Unlock()
			if err == nil {
				err = io.EOF
			}
			return nil, err
		}
		s.in.wanted = true
		credit := s.in.grant(s)
		s.mu.Unlock()
		s.widen(credit)
		<-s.wake
	}
}

// Trailer returns the server's trailing metadata, once Recv has returned an
// error.
func (s *Stream) Trailer() metadata.MD {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trailer
}
