package proxy

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Causes of a call's end, for the context.
var (
	errIdle   = errors.New("no message for too long")
	errClient = errors.New("the client's half failed")
)

// streaming is a call with at least one streaming side while it runs. Up is the
// direction to the backend, down the one to the client.
type streaming struct {
	*Call
	ctx      context.Context // ends with the call
	cancel   context.CancelCauseFunc
	upstream Stream
	idle     *time.Timer
	messages <-chan received // read ahead of the client; nil until then
	runs     runStream       // in place of messages: the backend half, read by nobody else
	ended    bool            // runs has told its end

	// up is written by the goroutine that sends up and read after it has ended,
	// err also after it has cancelled with errClient.
	up struct {
		done     chan struct{} // nil if no goroutine was started
		messages int
		bytes    int64
		err      error // what the client did wrong, or CANCELED
	}
}

func relayStream(parent context.Context, c *Call) (r Result) {
	s := &streaming{Call: c}
	s.ctx, s.cancel = context.WithCancelCause(parent)
	defer s.cancel(nil)
	if c.IdleTimeout > 0 {
		s.idle = time.AfterFunc(c.IdleTimeout, func() { s.cancel(errIdle) })
		defer s.idle.Stop()
	}
	unblock := s.unblockWhenOver()
	r.Err = s.verdict(s.carry(&r))
	unblock()
	s.cancel(nil)
	s.settle(&r)
	return r
}

// unblockWhenOver frees whoever waits for the client as soon as the call is
// over, be it by its deadline. The returned function does so now; after it,
// the Downstream is left alone.
func (s *streaming) unblockWhenOver() func() {
	done := make(chan struct{})
	stop := context.AfterFunc(s.ctx, func() {
		defer close(done)
		s.Downstream.Unblock()
	})
	return func() {
		if stop() {
			s.Downstream.Unblock()
			return
		}
		<-done
	}
}

// carry runs both directions until the one to the client has ended.
func (s *streaming) carry(r *Result) (err error) {
	var only Frame
	if !s.Shape.ClientStreams {
		// Before the backend hears of the call: it may be refused for its message.
		if only, err = s.receiveOnly(s.ctx); err != nil {
			return err
		}
	}
	if s.upstream, err = s.Backend.Open(s.ctx, s.Method, s.Header, s.Shape); err != nil {
		only.Free()
		return err
	}
	if s.Shape.ClientStreams {
		s.up.done = make(chan struct{})
		go func() {
			defer close(s.up.done)
			s.failUp(s.sendAll())
		}()
	} else {
		s.sendOnly(only)
	}
	return s.down(r)
}

// settle waits for what the call started and adds up.
func (s *streaming) settle(r *Result) {
	if s.messages != nil {
		for m := range s.messages {
			m.frame.Free()
		}
	}
	for s.runs != nil && !s.ended {
		s.next(false)
	}
	if s.up.done != nil {
		<-s.up.done
	}
	r.RequestMessages, r.RequestBytes = s.up.messages, s.up.bytes
	if s.upstream != nil {
		r.Trailer = s.upstream.Trailer()
		if tried, ok := s.upstream.(triedStream); ok {
			r.Tries = tried.Tries()
		}
	}
}

// verdict picks the error that came first: what the client did wrong explains
// the cancellation that the backend half then reports.
func (s *streaming) verdict(err error) error {
	if err == nil {
		return nil
	}
	switch context.Cause(s.ctx) {
	case errClient:
		return s.up.err
	case errIdle:
		return status.Errorf(codes.DeadlineExceeded, "no message in either direction for %s", s.IdleTimeout)
	}
	return expired(s.ctx, err)
}

// alive restarts the idle time.
func (s *streaming) alive() {
	if s.idle != nil {
		s.idle.Reset(s.IdleTimeout)
	}
}

func (s *streaming) failUp(err error) {
	if err != nil {
		s.up.err = err
		s.cancel(errClient)
	}
}

// sendOnly sends the message of a client that does not stream.
func (s *streaming) sendOnly(request Frame) {
	s.countUp(request)
	if s.upstream.Send(request) == nil {
		_ = s.upstream.CloseSend() // Recv has the reason of a failure
	}
}

func (s *streaming) countUp(f Frame) {
	s.up.messages++
	s.up.bytes += int64(f.Len())
}

// sendAll sends the client's messages until its half-close.
func (s *streaming) sendAll() error {
	for {
		f, err := s.Downstream.Recv()
		if err == io.EOF {
			_ = s.upstream.CloseSend() // Recv has the reason of a failure
			return nil
		}
		if err != nil {
			return err
		}
		s.alive()
		if s.OnRequest != nil {
			if err := s.OnRequest(s.ctx, &f); err != nil {
				f.Free()
				return err
			}
		}
		s.countUp(f)
		if s.upstream.Send(f) != nil {
			return nil // the backend ended the call; Recv has its status
		}
	}
}

// received is one message of the backend, or the end of them.
type received struct {
	frame Frame
	run   *Run // in place of frame
	err   error
}

// down brings the backend's messages to the client and returns the status the
// backend ended with, or why the client could not take them.
func (s *streaming) down(r *Result) error {
	s.expectRuns()
	header, err := s.upstream.Header()
	if err != nil {
		return statusError(err)
	}
	if header != nil {
		s.Downstream.Header(header)
	}
	if !s.Shape.ServerStreams {
		return s.downOne(r)
	}
	if s.runs == nil {
		s.messages = s.prefetch()
	}
	for {
		m := s.next(r.ResponseMessages > 0)
		if m.err != nil {
			return endOf(m.err)
		}
		s.alive()
		if m.run != nil {
			if err := s.sendRun(m.run, r); err != nil {
				return err
			}
			continue
		}
		r.ResponseMessages++
		r.ResponseBytes += int64(m.frame.Len())
		if err := s.Downstream.Send(m.frame); err != nil {
			return err
		}
	}
}

// expectRuns tells the client's half where messages come in runs.
func (s *streaming) expectRuns() {
	if s.Shape.ServerStreams {
		s.runs, _ = s.upstream.(runStream)
	}
	if d, ok := s.Downstream.(runDownstream); ok && s.runs != nil {
		d.ExpectRuns()
	}
}

// sendRun sends the client messages that are at hand at once.
func (s *streaming) sendRun(run *Run, r *Result) error {
	r.ResponseMessages += len(run.Frames)
	r.ResponseBytes += run.bytes
	if d, ok := s.Downstream.(runDownstream); ok {
		return d.SendRun(run)
	}
	for _, f := range run.Frames {
		if err := s.Downstream.Send(f.Ref()); err != nil {
			return err
		}
	}
	return nil
}

// downOne brings the single answer of a client-streaming call.
func (s *streaming) downOne(r *Result) error {
	f, err := s.upstream.Recv()
	if err == io.EOF {
		return errNoAnswer
	}
	if err != nil {
		return statusError(err)
	}
	if second, err := s.upstream.Recv(); err != io.EOF {
		f.Free()
		if err == nil {
			second.Free()
			return errManyAnswers
		}
		return statusError(err)
	}
	if s.OnReply != nil {
		if err := s.OnReply(s.ctx, &f); err != nil {
			f.Free()
			return err
		}
	}
	r.ResponseMessages, r.ResponseBytes = 1, int64(f.Len())
	return s.Downstream.Send(f)
}

// prefetch reads one message ahead, so that the writer knows whether another
// one is waiting and can leave the flush to it.
func (s *streaming) prefetch() <-chan received {
	messages := make(chan received, 1)
	go func() {
		defer close(messages)
		for {
			f, err := s.upstream.Recv()
			messages <- received{frame: f, err: err}
			if err != nil {
				return
			}
		}
	}()
	return messages
}

// next returns the next message. Where none is waiting, what was written is
// flushed first; the reader gets one chance to run before that.
func (s *streaming) next(written bool) received {
	if s.runs != nil {
		if written && !s.runs.Ready() {
			s.Downstream.Flush()
		}
		run, err := s.runs.RecvRun()
		s.ended = err != nil
		return received{run: run, err: err}
	}
	if written {
		for range 2 {
			select {
			case m := <-s.messages:
				return m
			default:
				runtime.Gosched()
			}
		}
		s.Downstream.Flush()
	}
	return <-s.messages
}

// endOf turns what Recv returned at the end into the call's error.
func endOf(err error) error {
	if err == io.EOF {
		return nil
	}
	return statusError(err)
}

// statusError makes sure that err is a gRPC status error.
func statusError(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}
