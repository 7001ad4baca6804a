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

// grpcStream is a proxy.Stream of a GRPC.
type grpcStream struct {
	backend *GRPC
	ctx     context.Context
	header  proxy.Metadata // of the first attempt
	first   chan received  // what was read while the header waited; nil: nothing. Recv's own

	mu      sync.Mutex // held while the stream is opened again, so that others wait
	tries   tries
	request transport.Request
	stream  *transport.Stream
	within  context.Context // of the attempt
	timer   *time.Timer     // ends the attempt where no message comes; nil: none does
	keeps   bool            // it can be opened again: no message came, and all that was sent is kept
	kept    []proxy.Frame   // what was sent, while keeps is set
	bytes   int             // in kept
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
	stream, err := s.backend.conn.Open(s.within, &s.tries.turn, &s.request)
	if err != nil {
		s.stopTimer()
		return late(s.within, err)
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

// Send implements proxy.Stream.
func (s *grpcStream) Send(f proxy.Frame) error {
	defer f.Free()
	stream, kept := s.keep(f)
	err := stream.Send(f.Buffers())
	if err == io.EOF && kept {
		return nil // Recv sends it again, or has the status
	}
	return err
}

// keep keeps a message that is about to be sent and reports whether it did.
func (s *grpcStream) keep(f proxy.Frame) (on *transport.Stream, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.keeps {
		return s.stream, false
	}
	limit := maxKept
	if s.tries.retry != nil {
		limit = max(limit, s.tries.retry.Buffer)
	}
	if s.bytes+f.Len() > limit || keptInAll.Add(int64(f.Len())) > maxKeptInAll {
		if s.bytes+f.Len() <= limit {
			keptInAll.Add(-int64(f.Len()))
		}
		s.tries.deny("buffer")
		s.settle()
		return s.stream, false
	}
	s.bytes += f.Len()
	s.kept = append(s.kept, f.Ref())
	return s.stream, true
}

// settle leaves the stream where it is. s.mu is held.
func (s *grpcStream) settle() {
	s.keeps = false
	s.stopTimer()
	for i := range s.kept {
		s.kept[i].Free()
	}
	keptInAll.Add(-int64(s.bytes))
	s.kept, s.bytes = nil, 0
}

// CloseSend implements proxy.Stream.
func (s *grpcStream) CloseSend() error {
	s.mu.Lock()
	s.closed = true
	stream := s.stream
	s.mu.Unlock()
	return stream.CloseSend()
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
		message, err := s.current().Recv()
		if err == nil || err == io.EOF {
			s.commit()
			return proxy.FrameOf(message), err
		}
		if err = s.late(err); !s.again(err) {
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
		switch {
		case err == nil && s.backend.retry == nil:
			return header, nil
		case err == nil:
			return s.awaitFirst(stream, header)
		}
		if err = s.late(err); !s.again(err) {
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

// late is the error of an attempt as its time makes it.
func (s *grpcStream) late(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return late(s.within, err)
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
// err before its first message. What was sent is sent again.
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
	for _, f := range s.kept {
		if s.stream.Send(f.Buffers()) != nil {
			return true // Recv has the reason
		}
	}
	if s.closed {
		_ = s.stream.CloseSend() // as above
	}
	return true
}
