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
	upstream Stream
	cancel   context.CancelCauseFunc
	idle     *time.Timer

	// up is written by the goroutine that sends up and read after it has ended.
	up struct {
		messages int
		bytes    int64
		err      error // what the client did wrong, or CANCELED
	}
}

func relayStream(parent context.Context, c *Call) (r Result) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	upstream, err := c.Backend.Open(ctx, c.Method, c.Header, c.Shape)
	if err != nil {
		return Result{Err: err}
	}
	s := &streaming{Call: c, upstream: upstream, cancel: cancel}
	if c.IdleTimeout > 0 {
		s.idle = time.AfterFunc(c.IdleTimeout, func() { cancel(errIdle) })
		defer s.idle.Stop()
	}
	upDone := s.startUp(ctx)
	err = s.down(ctx, &r)
	cancel(nil)
	c.Downstream.Unblock()
	<-upDone
	r.RequestMessages, r.RequestBytes = s.up.messages, s.up.bytes
	r.Trailer = upstream.Trailer()
	r.Err = s.verdict(ctx, err)
	return r
}

// verdict picks the error that came first: what the client did wrong explains
// the cancellation that the backend half then reports.
func (s *streaming) verdict(ctx context.Context, down error) error {
	if down == nil {
		return nil
	}
	switch context.Cause(ctx) {
	case errClient:
		return s.up.err
	case errIdle:
		return status.Errorf(codes.DeadlineExceeded, "no message in either direction for %s", s.IdleTimeout)
	}
	return expired(ctx, down)
}

// alive restarts the idle time.
func (s *streaming) alive() {
	if s.idle != nil {
		s.idle.Reset(s.IdleTimeout)
	}
}

// startUp sends the client's messages up. A client that sends exactly one
// needs no goroutine of its own.
func (s *streaming) startUp(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	if s.Shape.ClientStreams {
		go func() {
			defer close(done)
			s.failUp(s.sendAll(ctx))
		}()
		return done
	}
	defer close(done)
	s.failUp(s.sendOne(ctx))
	return done
}

func (s *streaming) failUp(err error) {
	if err != nil {
		s.up.err = err
		s.cancel(errClient)
	}
}

func (s *streaming) sendOne(ctx context.Context) error {
	request, err := s.receiveOnly(ctx)
	if err != nil {
		return err
	}
	s.countUp(request)
	if s.upstream.Send(request) == nil {
		_ = s.upstream.CloseSend() // Recv has the reason of a failure
	}
	return nil
}

func (s *streaming) countUp(f Frame) {
	s.up.messages++
	s.up.bytes += int64(f.Len())
}

func (s *streaming) sendAll(ctx context.Context) error {
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
			if err := s.OnRequest(ctx, &f); err != nil {
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
	err   error
}

// down brings the backend's messages to the client and returns the status the
// backend ended with, or why the client could not take them.
func (s *streaming) down(ctx context.Context, r *Result) error {
	header, err := s.upstream.Header()
	if err != nil {
		return statusError(err)
	}
	if header != nil {
		s.Downstream.Header(header)
	}
	if !s.Shape.ServerStreams {
		return s.downOne(ctx, r)
	}
	messages := s.prefetch()
	defer func() {
		s.cancel(nil)
		for m := range messages {
			m.frame.Free()
		}
	}()
	for {
		m := s.next(messages, r.ResponseMessages > 0)
		if m.err != nil {
			return endOf(m.err)
		}
		s.alive()
		r.ResponseMessages++
		r.ResponseBytes += int64(m.frame.Len())
		if err := s.Downstream.Send(m.frame); err != nil {
			return err
		}
	}
}

// downOne brings the single answer of a client-streaming call.
func (s *streaming) downOne(ctx context.Context, r *Result) error {
	f, err := s.upstream.Recv()
	if err == io.EOF {
		return status.Error(codes.Internal, "the backend ended the call without an answer")
	}
	if err != nil {
		return statusError(err)
	}
	if _, err := s.upstream.Recv(); err != io.EOF {
		f.Free()
		if err == nil {
			return status.Error(codes.Internal, "the backend sent more than one answer")
		}
		return statusError(err)
	}
	if s.OnReply != nil {
		if err := s.OnReply(ctx, &f); err != nil {
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
			messages <- received{f, err}
			if err != nil {
				return
			}
		}
	}()
	return messages
}

// next returns the next message. Where none is waiting, what was written is
// flushed first; the reader gets one chance to run before that.
func (s *streaming) next(messages <-chan received, written bool) received {
	if written {
		for range 2 {
			select {
			case m := <-messages:
				return m
			default:
				runtime.Gosched()
			}
		}
		s.Downstream.Flush()
	}
	return <-messages
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
