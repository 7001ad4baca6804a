package attempt

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// maxKept bounds what a stream keeps of its messages, in bytes, to send them
// again where the backend has not seen the stream.
const maxKept = 64 << 10

// grpcStream is a proxy.Stream of a GRPC.
type grpcStream struct {
	backend *GRPC
	ctx     context.Context
	request transport.Request
	turn    upstream.Turn

	mu     sync.Mutex // held while the messages are sent again, so that others wait
	stream *transport.Stream
	again  bool          // it can go to another connection: nothing came, and all that was sent is kept
	kept   []proxy.Frame // what was sent, while again is set
	bytes  int           // in kept
	closed bool          // our half has ended
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
	if s.bytes += f.Len(); s.bytes > maxKept {
		s.settle()
	}
	if s.again {
		s.kept = append(s.kept, f.Ref())
	}
	return s.stream, s.again
}

// settle leaves the stream where it is. s.mu is held.
func (s *grpcStream) settle() {
	s.again = false
	for i := range s.kept {
		s.kept[i].Free()
	}
	s.kept = nil
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
	message, err := s.current().Recv()
	if s.retry(err) {
		message, err = s.current().Recv()
	}
	if err != nil && err != io.EOF {
		err = s.backend.failed(err)
	}
	return proxy.FrameOf(message), err
}

// Header implements proxy.Stream.
func (s *grpcStream) Header() (metadata.MD, error) {
	header, err := s.current().Header()
	if s.retry(err) {
		header, err = s.current().Header()
	}
	return header, err
}

// Trailer implements proxy.Stream.
func (s *grpcStream) Trailer() metadata.MD { return s.current().Trailer() }

func (s *grpcStream) current() *transport.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream
}

// retry looks at the first that came. Where that is word that the backend has not
// seen the stream, it is opened again, and what was sent is sent again.
func (s *grpcStream) retry(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.again {
		return false
	}
	defer s.settle()
	if !errors.Is(err, transport.ErrUnprocessed) {
		return false
	}
	s.turn.Elsewhere()
	stream, err := s.backend.conn.Open(s.ctx, &s.turn, &s.request)
	if err != nil {
		return false // the first reason is the better one
	}
	s.stream = stream
	for _, f := range s.kept {
		if stream.Send(f.Buffers()) != nil {
			return true // Recv has the reason
		}
	}
	if s.closed {
		_ = stream.CloseSend() // as above
	}
	return true
}
