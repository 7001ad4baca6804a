package stream

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

const (
	// firstMessageWait is how long the header of a streaming answer waits for the
	// first message, so that an error before it can still be an ordinary status.
	// Once the backend has sent its own header, acceptedWait is enough.
	firstMessageWait = time.Second
	acceptedWait     = 50 * time.Millisecond
	// heartbeat is the pause after which an SSE stream is told that it lives.
	heartbeat = 15 * time.Second
)

// errHead ends the call of a HEAD request when its header is known.
var errHead = status.Error(codes.Canceled, "the answer to HEAD has no body")

// Header implements proxy.Downstream.
func (s *restStream) Header(md metadata.MD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return // too late: the answer began before the backend spoke
	}
	settings := &s.Binding.Method.Settings
	settings.Headers.Response(s.X.Header(), md, settings.OwnHeaders)
	if v := md[transcoder.StatusMetadata]; settings.StatusFromMetadata && len(v) == 1 {
		if code, err := strconv.Atoi(v[0]); err == nil && code >= 200 && code <= 599 {
			s.statusCode = code
		}
	}
	if s.timer != nil {
		s.timer.Reset(acceptedWait)
	}
}

// streamStatus is the status of an answer that streams: 200, or what the backend
// said, unless that is one of an answer without a body.
func (s *restStream) streamStatus() int {
	switch s.statusCode {
	case 0, http.StatusNoContent, http.StatusResetContent, http.StatusNotModified:
		return http.StatusOK
	}
	return s.statusCode
}

// tick is called by the timer. It writes the header if no message came in time
// and heartbeats afterwards, and it gives up on a client that does not read.
func (s *restStream) tick() {
	if !s.mu.TryLock() {
		s.checkWrite()
		return
	}
	defer s.mu.Unlock()
	if s.finished {
		return
	}
	if s.format == formatRaw && !s.begun {
		s.timer.Reset(stallCheck) // the content type comes with the first message
		return
	}
	if !s.begun {
		s.begin200()
		s.writer.flush()
	}
	s.timer.Reset(s.beat())
}

// checkWrite is tick while something is being written.
func (s *restStream) checkWrite() {
	patience := exchange.WriteTimeout
	if s.over.Load() {
		patience = exchange.LastWriteGrace
	}
	switch watch := &s.writer.watch; {
	case watch.Stalled(patience):
		s.X.InterruptWrite() // so the write that waits fails, and all that follow
	case watch.Stalled(0):
		s.timer.Reset(min(stallCheck, patience))
	default:
		s.timer.Reset(acceptedWait) // whoever has the lock is done soon
	}
}

// beat writes a heartbeat where one is due and returns the time to the next.
func (s *restStream) beat() time.Duration {
	if s.format != formatSSE {
		return nextCheck()
	}
	if quiet := time.Since(s.writer.last); quiet < heartbeat {
		return min(heartbeat-quiet, nextCheck())
	}
	if s.writer.write([]byte(": ping\n\n")) == nil { // else Send will notice
		s.writer.flush()
	}
	return nextCheck()
}

// begin200 writes the header of a streaming answer, once.
func (s *restStream) begin200() {
	if s.begun {
		return
	}
	s.begun = true
	if s.timer != nil {
		s.timer.Reset(nextCheck()) // nobody waits for the header any more
	}
	h := s.X.Header()
	contentType := s.format.contentType()
	if s.format == formatRaw {
		contentType = s.rawType
	}
	transcoder.SetContentType(h, contentType)
	if s.format == formatSSE {
		h["Cache-Control"] = []string{"no-store"}
		h["X-Accel-Buffering"] = []string{"no"}
	}
	if s.closes {
		h["Transfer-Encoding"] = []string{"identity"}
	}
	var e *compression.Encoding
	if s.format != formatRaw {
		field.AddVary(h, "Accept")
		field.AddVary(h, "Accept-Encoding")
		e = compression.Accepted(s.X.R.Header)
	}
	s.incoming.CloseAfter()
	s.X.Announce()
	if s.X.R.Method == http.MethodHead {
		e = nil
	}
	s.writer.begin(&s.X, s.streamStatus(), e)
	if s.X.R.Method == http.MethodHead {
		s.writer.out = io.Discard
	}
}

// Send implements proxy.Downstream.
func (s *restStream) Send(f proxy.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Binding.Method.Shape.ServerStreams {
		// It waits for Finish, when the status is known.
		var err error
		s.reply = f
		s.replyBody, s.replyType, err = s.Encode(&s.reply)
		return err
	}
	defer f.Free()
	write := s.sendJSON
	if s.format == formatRaw {
		write = s.sendRaw
	}
	if err := write(&f); err != nil {
		return err
	}
	if s.X.R.Method == http.MethodHead {
		return errHead
	}
	return nil
}

func (s *restStream) sendJSON(f *proxy.Frame) error {
	note := f.Note()
	var err error
	var long *jsonwire.Long
	s.Scratch = s.format.appendOpen(s.Scratch[:0], s.sent)
	if note != nil {
		err = s.appendShared(note, f)
	} else {
		s.Scratch, long, err = s.Binding.Convert(s.Scratch, f.Bytes())
	}
	if err != nil {
		return transcoder.BrokenAnswer(s.Binding.Method, "the backend's message "+strconv.Itoa(s.sent+1), err)
	}
	s.begin200()
	s.sent++
	if long != nil {
		if err := s.writer.write(s.Scratch); err != nil {
			return err
		}
		if _, err := long.WriteTo(streamPieces{&s.writer}); err != nil {
			return err
		}
		s.Scratch = s.Scratch[:0]
	}
	s.Scratch = s.format.appendClose(s.Scratch)
	return s.writer.write(s.Scratch)
}

func (s *restStream) sendRaw(f *proxy.Frame) error {
	b, err := transcoder.ParseHTTPBody(s.Binding.AnswerPart(f.Bytes()))
	if err != nil {
		return err
	}
	if !s.begun {
		s.rawType = b.ContentTypeOrDefault()
	}
	s.begin200()
	s.sent++
	return s.writer.write(b.Data)
}

// Flush implements proxy.Downstream.
func (s *restStream) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		s.writer.flush()
	}
}

// writeReply writes the single answer of a client stream.
func (s *restStream) writeReply() int {
	httpStatus := http.StatusOK
	if s.statusCode != 0 {
		httpStatus = s.statusCode
	}
	s.incoming.CloseAfter()
	s.WriteText(httpStatus, s.replyType, &s.replyBody)
	return httpStatus
}

// writeEarlyError answers with an error that came before the first message. In
// grpc-gateway's envelope is what the backend says, not what is wrong with the
// request; Envoy's array is empty, and the headers have the status.
func (s *restStream) writeEarlyError(err error) int {
	m := s.Binding.Method
	array := s.format == formatArray && m.Settings.StatusHeaders
	if s.format != formatEnvelope && !array || !m.Shape.ServerStreams || transcoder.OwnError(err) {
		return s.WriteError(err)
	}
	st, httpStatus := rpcerror.Of(err, m.Settings.Status)
	httpStatus = rpcerror.ErrorStatus(httpStatus, st.Code())
	if array {
		rpcerror.SetStatus(s.X.Header(), st)
		s.Scratch = formatArray.appendEnd(s.Scratch[:0], 0)
	} else {
		s.Scratch, _ = formatEnvelope.appendError(s.Scratch[:0], m, err)
	}
	s.WriteBytes(httpStatus, transcoder.ContentTypeJSON, s.Scratch)
	return httpStatus
}

// writeEnd writes the normal end of a server stream.
func (s *restStream) writeEnd() {
	if !s.begun && s.format == formatRaw {
		s.rawType = transcoder.ContentTypeBinary
	}
	s.begin200()
	if end := s.format.appendEnd(s.Scratch[:0], s.sent); len(end) > 0 {
		_ = s.writer.write(end) // an error means that the client is gone
	}
}
