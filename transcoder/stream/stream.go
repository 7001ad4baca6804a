package stream

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// restStream is the edge of a streaming RPC called over plain HTTP. What it
// reads is in request.go, what it writes in answer.go.
type restStream struct {
	transcoder.Call
	format streamFormat

	// The client's half.
	incoming *exchange.Body
	body     *lazyBody // incoming, decompressed
	elements *elements
	chunk    []byte // of an upload
	prefix   []byte // what path and query set, in every message
	received int
	uploaded bool

	// The answer; guarded by mu, as the timer writes too.
	mu         sync.Mutex
	begun      bool // the header is written
	finished   bool
	closes     bool // the body ends with the connection, not by chunks
	sent       int
	reply      proxy.Frame     // the one answer of a client stream
	replyBody  transcoder.Text // reply, as it is written
	replyType  string
	statusCode int    // from x-http-code; 0 for the usual one
	rawType    string // content type of an HttpBody stream
	writer     streamWriter
	timer      *time.Timer
	over       atomic.Bool // the call has ended, its answer not yet
}

var _ proxy.Downstream = (*restStream)(nil)

// Open is the edge of a streaming call by REST.
func Open(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream {
	s := &restStream{}
	s.Begin(b, x)
	s.format = formatOn(b, x.R.Header)
	s.incoming = exchange.NewBody(&s.X)
	return s
}

// NameOn is the protocol's name of a request on the binding of a method that streams, for
// logs and metrics.
func NameOn(b *transcoder.Binding, h http.Header) string { return formatOn(b, h).protocolName() }

// formatOn is how the answer to a request is written.
func formatOn(b *transcoder.Binding, h http.Header) streamFormat {
	if b.AnswersRaw() {
		return formatRaw
	}
	return acceptedStream(h, &b.Method.Settings)
}

// Open implements proxy.Downstream.
func (s *restStream) Open(ctx context.Context) (context.Context, error) {
	if s.format == formatSSE && field.First(s.X.R.Header, "Last-Event-Id") == lastEventEnd {
		return ctx, errStreamEnded
	}
	if !s.Binding.Method.Shape.ClientStreams {
		return ctx, nil
	}
	if err := s.openUpload(); err != nil {
		return ctx, err
	}
	s.waitForFirst()
	return ctx, nil
}

// waitForFirst starts the wait for the first message of the answer.
func (s *restStream) waitForFirst() {
	if s.Binding.Method.Shape.ServerStreams {
		s.timer = time.AfterFunc(exchange.WriteTimeout, s.tick)
		s.timer.Reset(firstMessageWait) // now that tick sees the timer
	}
}

// Unblock implements proxy.Downstream.
func (s *restStream) Unblock() {
	s.incoming.Unblock()
	if s.over.CompareAndSwap(false, true) && s.writer.watch.Stalled(0) {
		// Send waits for a client that does not read: it gets a moment.
		time.AfterFunc(exchange.LastWriteGrace, s.tick)
	}
}

// Finish implements proxy.Downstream.
func (s *restStream) Finish(err error, trailer metadata.MD) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	if s.timer != nil {
		s.timer.Stop()
	}
	defer s.end()
	// The call ends in this time; the server takes it off for the next request.
	_ = s.X.SetWriteDeadline(time.Now().Add(exchange.WriteTimeout)) // where it is not supported, the server's own holds
	if !s.begun {
		s.TakeTrailer(trailer)
		defer s.SendTrailer(trailer)
	}
	switch {
	case err == nil && !s.Binding.Method.Shape.ServerStreams:
		return s.writeReply()
	case err == nil || err == errHead:
		s.writeEnd()
		return s.streamStatus()
	case !s.begun:
		s.incoming.CloseAfter()
		return s.writeEarlyError(err)
	}
	last, ok := s.format.appendError(s.Scratch[:0], s.Binding.Method, err)
	if !ok {
		s.writer.flush() // what came before the error was right
		return proxy.Aborted
	}
	_ = s.writer.write(last) // an error means that the client is gone
	return s.streamStatus()
}

// Status implements proxy.Answer.
func (s *restStream) Status(err error) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.begun && err != nil && err != errHead:
		return s.ErrorStatus(err)
	case !s.begun && !s.Binding.Method.Shape.ServerStreams && s.statusCode != 0:
		return s.statusCode
	}
	return s.streamStatus()
}

// Whole implements proxy.Answer.
func (s *restStream) Whole() bool { return !s.Binding.Method.Shape.ServerStreams }

// end gives back what the stream holds.
func (s *restStream) end() {
	s.writer.close()
	s.reply.Free()
	if s.body != nil {
		s.body.Close()
	}
	s.incoming.Linger()
}
