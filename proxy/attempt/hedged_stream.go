package attempt

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// hedgedStream is a proxy.Stream of one request and many answers, whose attempts race
// until one has its first message, or has sent a header and then been silent for a
// moment.
type hedgedStream struct {
	backend *GRPC
	race    race
	method  string
	sent    bool
	start   sync.Once

	won    answer             // set once done is closed
	cancel context.CancelFunc // of won
	done   chan struct{}      // closed when the race is over
}

// openHedged begins a stream whose attempts are made once the request is there.
func (g *GRPC) openHedged(ctx context.Context, method string, header proxy.Metadata) *hedgedStream {
	s := &hedgedStream{backend: g, method: method, done: make(chan struct{})}
	s.race = race{tries: g.tries(ctx, nil), ctx: ctx, header: header, try: s.try}
	return s
}

// Send implements proxy.Stream.
func (s *hedgedStream) Send(f proxy.Frame) error {
	if s.sent {
		f.Free()
		return status.Error(codes.Internal, "a second request of a call that takes one")
	}
	s.sent = true
	s.race.request = f
	return nil
}

// CloseSend implements proxy.Stream.
func (s *hedgedStream) CloseSend() error {
	s.start.Do(func() { go s.run() })
	return nil
}

func (s *hedgedStream) run() {
	s.won, s.cancel = s.race.run()
	s.race.request.Free()
	if s.won.err != nil {
		s.cancel()
	}
	close(s.done)
}

// try makes an attempt, which has an answer once the stream has begun.
func (s *hedgedStream) try(ctx context.Context, turn *upstream.Turn, header proxy.Metadata, request proxy.Frame) (a answer) {
	defer request.Free()
	within, cancel := context.WithCancelCause(ctx)
	a.within = within
	if perTry := s.race.retry.PerTry; perTry > 0 {
		timer := time.AfterFunc(perTry, func() { cancel(errLate) })
		defer timer.Stop()
	}
	defer func() {
		if a.err != nil {
			a.err = late(within, a.err)
			cancel(a.err)
		}
	}()
	stream, err := s.backend.conn.Open(within, turn, &transport.Request{Method: s.method, Header: header, Limit: s.backend.limit})
	if err != nil {
		a.err = err
		return a
	}
	if stream.Send(request.Buffers()) == nil {
		_ = stream.CloseSend() // Recv has the reason of a failure
	}
	sent, err := stream.Header()
	if a.err = err; err != nil {
		a.trailer = stream.Trailer()
		return a
	}
	a.began = sent != nil
	return a.begin(stream)
}

// begin waits a moment for the first message of a stream that has sent its header.
func (a answer) begin(stream *transport.Stream) answer {
	first := make(chan received, 1)
	go func() {
		message, err := stream.Recv()
		first <- received{proxy.FrameOf(message), err}
	}()
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case m := <-first:
		if m.err != nil && m.err != io.EOF {
			a.err, a.trailer = m.err, stream.Trailer()
			return a
		}
		first <- m
	case <-timer.C:
	}
	a.stream, a.first = stream, first
	return a
}

// Header implements proxy.Stream.
func (s *hedgedStream) Header() (metadata.MD, error) {
	<-s.done
	if s.won.err != nil {
		return nil, s.backend.failed(s.won.err)
	}
	return s.won.stream.Header()
}

// Recv implements proxy.Stream.
func (s *hedgedStream) Recv() (proxy.Frame, error) {
	<-s.done
	if s.won.err != nil {
		return proxy.Frame{}, s.backend.failed(s.won.err)
	}
	m := s.next()
	if m.err != nil {
		s.cancel()
		if m.err != io.EOF {
			m.err = s.backend.failed(m.err)
		}
	}
	return m.frame, m.err
}

// next returns what the stream sends next.
func (s *hedgedStream) next() received {
	if s.won.first != nil {
		m := <-s.won.first
		s.won.first = nil
		return m
	}
	message, err := s.won.stream.Recv()
	return received{proxy.FrameOf(message), err}
}

// Trailer implements proxy.Stream.
func (s *hedgedStream) Trailer() metadata.MD {
	if s.won.stream == nil {
		return s.won.trailer
	}
	return s.won.stream.Trailer()
}

// Tries tells of the attempts so far. The race is over: Recv has returned an error.
func (s *hedgedStream) Tries() proxy.Tries { return s.race.tell() }
