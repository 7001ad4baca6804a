package attempt

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

const (
	// maxKept bounds what a stream without a Retry keeps of its messages, in bytes, to
	// send them again where the backend has not seen the stream.
	maxKept = 64 << 10
	// maxKeptInAll bounds what all streams keep, in bytes.
	maxKeptInAll = 64 << 20
	// moment is how long the header of an answer waits for the first message: until then
	// the stream can be opened again.
	moment = 50 * time.Millisecond
)

// keptInAll is what all streams keep, in bytes.
var keptInAll atomic.Int64

// saving: what is sent is not kept for another attempt.
var saving atomic.Bool

// Save says whether memory is so short that nothing that is sent from now on is kept for another
// attempt, in the whole process (Traffic 200).
func Save(on bool) { saving.Store(on) }

// grpcStream is a proxy.Stream of a GRPC.
type grpcStream struct {
	backend *GRPC
	ctx     context.Context
	header  proxy.Metadata // of the first attempt
	first   chan received  // what was read while the header waited; nil: nothing. Recv's own

	// sending is held by the one that sends: the caller, or, beside the receiving, who
	// sends again what was sent before. It is taken before mu.
	sending sync.Mutex

	mu      sync.Mutex // held while the stream is opened again
	tries   tries
	request transport.Request
	stream  *transport.Stream
	within  context.Context // of the attempt
	timer   *time.Timer     // ends the attempt where no message comes; nil: none does
	keeps   bool            // it can be opened again: no message came, and all that was sent is kept
	kept    []proxy.Frame   // what is sent: all of it, while keeps is set, then what is left
	next    int             // in kept: the first that this attempt has not sent
	bytes   int             // that kept holds
	closed  bool            // our half has ended
}

// received is one message of the backend, or the end of them.
type received struct {
	frame proxy.Frame
	err   error
}

// open makes an attempt. s.mu is held, or nobody has s yet.
func (s *grpcStream) open() error {
	s.within = s.ctx
	if s.tries.bounded() {
		within, cancel := context.WithCancelCause(s.ctx)
		s.within = within
		s.timer = time.AfterFunc(s.tries.retry.PerTry, func() { cancel(errLate) })
	}
	s.tries.count()
	s.request.Header = s.tries.watch(s.ctx, s.request.Header)
	stream, err := s.backend.conn.Open(s.within, &s.tries.turn, &s.request)
	if err != nil {
		s.stopTimer()
		err = late(s.within, err)
		s.tries.seen(err)
		s.tries.judge(s.ctx, s.within, err)
		return err
	}
	s.stream = stream
	return nil
}

func (s *grpcStream) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// overhead is what a message that is kept costs besides its bytes: an empty one is not
// free.
const overhead = 64

// Send implements proxy.Stream.
func (s *grpcStream) Send(f proxy.Frame) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	if !s.put(f) {
		defer f.Free()
		return s.current().Send(f.Buffers())
	}
	return s.push()
}

// put adds a message to those that are to be sent. It reports false where there is none
// before it and none is kept: it can be sent as it is. s.sending is held.
func (s *grpcStream) put(f proxy.Frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := f.Len() + overhead
	if s.keeps && !s.room(size) {
		s.tries.deny("buffer")
		s.settle()
	}
	if !s.keeps && len(s.kept) == 0 {
		return false
	}
	s.kept = append(s.kept, f)
	s.bytes += size
	keptInAll.Add(int64(size))
	return true
}

// room reports whether so many bytes more may be kept. s.mu is held.
func (s *grpcStream) room(size int) bool {
	limit := maxKept
	if s.tries.retry != nil {
		limit = max(limit, s.tries.retry.Buffer)
	}
	return !saving.Load() && s.bytes+size <= limit && keptInAll.Load()+int64(size) <= maxKeptInAll
}

// push sends what is to be sent on the attempt that stands. s.sending is held.
func (s *grpcStream) push() error {
	for {
		s.mu.Lock()
		if s.next == len(s.kept) {
			s.mu.Unlock()
			return nil
		}
		f, stream := s.kept[s.next].Ref(), s.stream
		if s.next++; !s.keeps {
			s.release(1)
		}
		s.mu.Unlock()
		err := stream.Send(f.Buffers())
		f.Free()
		if err == nil {
			continue
		}
		s.mu.Lock()
		keeps := s.keeps
		s.mu.Unlock()
		if err == io.EOF && keeps {
			return nil // Recv has it sent again, or has the status
		}
		return err
	}
}

// release gives up the first n of those that were sent. s.mu is held.
func (s *grpcStream) release(n int) {
	size := 0
	for i := range n {
		size += s.kept[i].Len() + overhead
		s.kept[i].Free()
	}
	s.kept = s.kept[n:]
	s.next -= n
	s.bytes -= size
	keptInAll.Add(-int64(size))
}

// settle leaves the stream where it is. s.mu is held.
func (s *grpcStream) settle() {
	s.keeps = false
	s.stopTimer()
	s.release(s.next)
}

// CloseSend implements proxy.Stream.
func (s *grpcStream) CloseSend() error {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.push() // Recv has the reason
	return s.current().CloseSend()
}

// resend sends on a new attempt what was sent on those before.
func (s *grpcStream) resend() {
	s.sending.Lock()
	defer s.sending.Unlock()
	if s.push() != nil {
		return // Recv has the reason
	}
	s.mu.Lock()
	closed, stream := s.closed, s.stream
	s.mu.Unlock()
	if closed {
		_ = stream.CloseSend() // as above
	}
}

// Recv implements proxy.Stream.
func (s *grpcStream) Recv() (proxy.Frame, error) {
	if s.first != nil {
		m := <-s.first
		s.first = nil
		return m.frame, m.err
	}
	return s.receive()
}

// receive returns the next message, of as many attempts as it takes to get one.
func (s *grpcStream) receive() (proxy.Frame, error) {
	for {
		stream := s.current()
		message, err := stream.Recv()
		s.told(stream, err)
		if err == io.EOF {
			s.seen(nil)
		}
		if err == nil || err == io.EOF {
			s.answered()
			s.commit()
			return proxy.FrameOf(message), err
		}
		err = s.late(err)
		if s.seen(err); !s.again(err) {
			s.ended(err)
			return proxy.Frame{}, s.backend.failed(err)
		}
	}
}

// Header implements proxy.Stream. Where the stream can be opened again, it waits a
// moment for the first message: once the client has the header, it can not (Traffic 65).
func (s *grpcStream) Header() (metadata.MD, error) {
	for {
		stream := s.current()
		header, err := stream.Header()
		s.told(stream, err)
		if header != nil {
			s.answered()
		}
		switch {
		case err == nil && s.backend.retry == nil:
			return header, nil
		case err == nil:
			return s.awaitFirst(stream, header)
		}
		err = s.late(err)
		if s.seen(err); !s.again(err) {
			s.ended(err)
			return header, err
		}
	}
}

// awaitFirst waits a moment for the first message of a stream, and longer where it was
// opened again meanwhile, and returns the header that goes with it.
func (s *grpcStream) awaitFirst(stream *transport.Stream, header metadata.MD) (metadata.MD, error) {
	first := make(chan received, 1)
	s.first = first
	go func() {
		frame, err := s.receive()
		first <- received{frame, err}
	}()
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case m := <-first:
		first <- m
	case <-timer.C:
		if s.commitTo(stream) {
			return header, nil
		}
		first <- <-first
	}
	return s.current().Header()
}

// Trailer implements proxy.Stream.
func (s *grpcStream) Trailer() metadata.MD { return s.current().Trailer() }

// Tries tells of the attempts so far.
func (s *grpcStream) Tries() proxy.Tries {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries.tell()
}

func (s *grpcStream) current() *transport.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream
}

// seen tells how the attempt has ended.
func (s *grpcStream) seen(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries.seen(err)
}

// late is the error of an attempt as its time makes it.
func (s *grpcStream) late(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return late(s.within, err)
}

// told notes that an endpoint has answered, if the stream is the one that stands.
func (s *grpcStream) told(stream *transport.Stream, err error) {
	if s.backend.place == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == stream {
		s.tries.turn.Told(err)
	}
}

// commit has the answer of the last attempt be the call's.
func (s *grpcStream) commit() { s.commitTo(s.current()) }

// commitTo does so if it is this one, and reports whether it is.
func (s *grpcStream) commitTo(stream *transport.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != stream {
		return false
	}
	if s.keeps {
		s.settle()
	}
	return true
}

// again reports whether the stream was opened again, after an attempt that ended with
// err before its first message. What was sent is sent again beside: a backend may answer
// before it has read all, and wait for its answer to be read.
func (s *grpcStream) again(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.keeps {
		return false
	}
	s.stopTimer()
	if !s.tries.again(s.ctx, s.within, err, s.stream.Trailer()) {
		s.settle()
		return false
	}
	s.request.Header = s.tries.header(s.header)
	if s.open() != nil {
		s.settle()
		return false // the first reason is the better one
	}
	s.next = 0
	go s.resend()
	return true
}
