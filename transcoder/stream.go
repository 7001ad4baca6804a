package transcoder

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
)

const (
	// firstMessageWait is how long the header of a streaming answer waits for the
	// first message, so that an error before it can still be an ordinary status.
	// Once the backend has sent its own header, acceptedWait is enough.
	firstMessageWait = time.Second
	acceptedWait     = 50 * time.Millisecond
	// heartbeat is the pause after which an SSE stream is told that it lives.
	heartbeat = 15 * time.Second
	// writeTimeout ends the call of a client that does not read.
	writeTimeout = 30 * time.Second
	// uploadChunk is the size of the HttpBody messages that an upload becomes.
	uploadChunk = 32 << 10
)

// restStream is the edge of a streaming RPC called over plain HTTP.
type restStream struct {
	restCall
	format     streamFormat
	controller *http.ResponseController

	// The client's half.
	body     io.ReadCloser // decompressed
	elements *elements
	chunk    []byte // of an upload
	prefix   []byte // what path and query set, in every message
	received int
	uploaded bool

	// The answer; guarded by mu, as the timer writes too.
	mu        sync.Mutex
	begun     bool // the header is written
	sent      int
	out       io.Writer
	zip       *encoding
	zipper    resettableWriter
	timer     *time.Timer
	deadline  time.Time
	finished  bool
	lastWrite time.Time
	rawType   string // content type of an HttpBody stream
}

var _ proxy.Downstream = (*restStream)(nil)

func (b *Binding) openStream(x Exchange) proxy.Downstream {
	s := &restStream{controller: http.NewResponseController(x.W)}
	s.begin(b, x)
	s.format = b.streamFormat(x.R.Header)
	return s
}

func (b *Binding) streamFormat(h http.Header) streamFormat {
	if b.answer.raw {
		return formatRaw
	}
	return acceptedStream(h, &b.Method.Settings)
}

// Open implements proxy.Downstream.
func (s *restStream) Open(ctx context.Context) (context.Context, error) {
	if s.format == formatSSE && first(s.r.Header, "Last-Event-Id") == lastEventEnd {
		return ctx, errStreamEnded
	}
	m := s.binding.Method
	if m.Shape.ClientStreams {
		if err := s.openUpload(); err != nil {
			return ctx, err
		}
	}
	if m.Shape.ServerStreams {
		s.mu.Lock()
		s.timer = time.AfterFunc(firstMessageWait, s.tick)
		s.mu.Unlock()
	}
	return ctx, nil
}

// openUpload prepares for a body of many messages.
func (s *restStream) openUpload() error {
	if s.r.ProtoMajor == 1 {
		// Not every server can; then the answer waits for the whole body.
		_ = s.controller.EnableFullDuplex()
	}
	var err error
	if s.body, err = decompressed(s.r); err != nil {
		return err
	}
	b := s.binding
	switch {
	case b.body.raw:
		s.chunk = make([]byte, uploadChunk)
	case b.body.kind == bodyNone:
		return nil
	default:
		format, err := formatOf(s.r.Header)
		if media := first(s.r.Header, "Content-Type"); err != nil && !isNDJSON(media) {
			return err
		}
		if err == nil && format != formatJSON {
			return NewStatusError(http.StatusUnsupportedMediaType, codes.InvalidArgument,
				"a stream of messages is sent as JSON; found Content-Type %q", clip(first(s.r.Header, "Content-Type")))
		}
		s.elements = newElements(s.body, b.Method.Settings.MaxMessage)
	}
	s.wire = s.wire[:0]
	if err := s.appendPathAndQuery(); err != nil {
		return err
	}
	s.prefix = append([]byte(nil), s.wire...)
	return nil
}

// Recv implements proxy.Downstream.
func (s *restStream) Recv() (proxy.Frame, error) {
	if !s.binding.Method.Shape.ClientStreams {
		if s.received > 0 {
			return proxy.Frame{}, io.EOF
		}
		s.received++
		message, err := s.request()
		if err != nil {
			return proxy.Frame{}, err
		}
		return proxy.NewFrame(message), nil
	}
	switch {
	case s.elements != nil:
		return s.recvElement()
	case s.chunk != nil:
		return s.recvChunk()
	}
	if s.received > 0 {
		return proxy.Frame{}, io.EOF
	}
	s.received++
	return proxy.NewFrame(s.prefix), nil
}

func (s *restStream) recvElement() (proxy.Frame, error) {
	value, err := s.elements.next()
	if err == io.EOF {
		return proxy.Frame{}, err
	}
	if err != nil {
		return proxy.Frame{}, bodyError(err, s.binding.Method.Settings.MaxMessage)
	}
	s.wire = s.wire[:0]
	if err := s.appendJSON(value); err != nil {
		return proxy.Frame{}, badRequest("element %d: %s", s.elements.count-1, status.Convert(err).Message())
	}
	s.wire = append(s.wire, s.prefix...)
	return proxy.NewFrame(s.wire), nil
}

// recvChunk returns the next piece of an upload; an empty upload is one empty
// message.
func (s *restStream) recvChunk() (proxy.Frame, error) {
	if s.uploaded {
		return proxy.Frame{}, io.EOF
	}
	n, err := io.ReadAtLeast(s.body, s.chunk, 1)
	if err == io.EOF {
		s.uploaded = true
		if s.received > 0 {
			return proxy.Frame{}, io.EOF
		}
		err = nil
	}
	if err != nil {
		return proxy.Frame{}, bodyError(err, s.binding.Method.Settings.MaxBody)
	}
	contentType := ""
	if s.received == 0 {
		contentType = first(s.r.Header, "Content-Type")
	}
	s.received++
	s.raw = appendHTTPBody(s.raw[:0], contentType, s.chunk[:n])
	message := s.raw
	if s.binding.body.kind == bodyField {
		s.wire = appendSubmessage(s.wire[:0], s.binding.body.field.Descriptor(), message)
		message = s.wire
	}
	return proxy.NewFrame(append(message, s.prefix...)), nil
}

// Header implements proxy.Downstream.
func (s *restStream) Header(md metadata.MD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return // too late: the answer began before the backend spoke
	}
	settings := &s.binding.Method.Settings
	settings.Headers.Response(s.w.Header(), md, settings.OwnHeaders)
	if s.timer != nil {
		s.timer.Reset(acceptedWait)
	}
}

// tick is called by the timer: it writes the header if no message came in time,
// and heartbeats afterwards.
func (s *restStream) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return
	}
	if s.format == formatRaw && !s.begun {
		return // the content type comes with the first message
	}
	wrote := !s.begun
	s.begin200()
	if s.format == formatSSE {
		if time.Since(s.lastWrite) >= heartbeat {
			s.extendDeadline()
			_, err := io.WriteString(s.out, ": ping\n\n")
			if err != nil {
				return // Send will notice
			}
			wrote = true
			s.lastWrite = time.Now()
		}
		s.timer.Reset(heartbeat)
	}
	if wrote {
		s.flush()
	}
}

// begin200 writes the header of a streaming answer, once.
func (s *restStream) begin200() {
	if s.begun {
		return
	}
	s.begun = true
	h := s.w.Header()
	contentType := s.format.contentType()
	if s.format == formatRaw {
		contentType = s.rawType
	}
	setContentType(h, contentType)
	if s.format == formatSSE {
		h["Cache-Control"] = []string{"no-store"}
		h["X-Accel-Buffering"] = []string{"no"}
	}
	s.out = s.w
	if s.format != formatRaw {
		addVary(h, "Accept")
		addVary(h, "Accept-Encoding")
		if s.zip = acceptedEncoding(s.r.Header); s.zip != nil {
			h["Content-Encoding"] = s.zip.header
			s.zipper = s.zip.writer(s.w)
			s.out = s.zipper
		}
	}
	if s.BeforeHeader != nil {
		s.BeforeHeader(h)
	}
	s.w.WriteHeader(http.StatusOK)
	s.lastWrite = time.Now()
}

// Send implements proxy.Downstream.
func (s *restStream) Send(f proxy.Frame) error {
	defer f.Free()
	if !s.binding.Method.Shape.ServerStreams {
		return s.sendOnly(f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.format == formatRaw {
		return s.sendRaw(&f)
	}
	m := s.binding.Method
	var err error
	s.scratch = s.format.appendOpen(s.scratch[:0], s.sent)
	if field := s.binding.answer.field; field != nil {
		s.scratch, err = field.AppendJSON(s.scratch, f.Bytes(), m.Settings.JSON)
	} else {
		s.scratch, err = m.output.AppendJSON(s.scratch, f.Bytes(), m.Settings.JSON)
	}
	if err != nil {
		return status.Errorf(codes.Internal, "the backend's message %d is not a valid %s: %v", s.sent, m.Descriptor.Output().FullName(), err)
	}
	s.scratch = s.format.appendClose(s.scratch)
	s.begin200()
	s.sent++
	return s.writeOut(s.scratch)
}

func (s *restStream) sendRaw(f *proxy.Frame) error {
	b, err := parseHTTPBody(s.rawPart(f.Bytes()))
	if err != nil {
		return err
	}
	if !s.begun {
		s.rawType = b.contentTypeOrDefault()
	}
	s.begin200()
	s.sent++
	return s.writeOut(b.data)
}

// sendOnly writes the single answer of a client stream.
func (s *restStream) sendOnly(f proxy.Frame) error {
	body, contentType, err := s.encode(&f)
	if err != nil {
		return err
	}
	s.begun = true
	s.write(http.StatusOK, contentType, body)
	return nil
}

func (s *restStream) writeOut(b []byte) error {
	s.extendDeadline()
	if _, err := s.out.Write(b); err != nil {
		return status.Error(codes.Canceled, "the client went away or stopped reading")
	}
	s.lastWrite = time.Now()
	return nil
}

// extendDeadline gives the next writes their time. It is moved rarely, as it
// costs more than a small message.
func (s *restStream) extendDeadline() {
	now := time.Now()
	if s.deadline.Sub(now) > writeTimeout/2 {
		return
	}
	s.deadline = now.Add(writeTimeout)
	_ = s.controller.SetWriteDeadline(s.deadline) // where it is not supported, the server's own holds
}

// Flush implements proxy.Downstream.
func (s *restStream) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		s.flush()
	}
}

func (s *restStream) flush() {
	if s.zipper != nil {
		_ = s.zipper.Flush() // the next Send notices a client that is gone
	}
	_ = s.controller.Flush()
}

// Unblock implements proxy.Downstream.
func (s *restStream) Unblock() {
	if s.binding.Method.Shape.ClientStreams {
		_ = s.controller.SetReadDeadline(time.Unix(1, 0)) // unsupported only by recorders, which do not block
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
	switch {
	case !s.begun && err != nil:
		return s.writeError(err)
	case !s.binding.Method.Shape.ServerStreams:
		return http.StatusOK
	}
	if err == nil {
		if !s.begun && s.format == formatRaw {
			s.rawType = contentTypeBinary
		}
		s.begin200()
		if end := s.format.appendEnd(s.scratch[:0], s.sent); len(end) > 0 {
			_ = s.writeOut(end) // an error means that the client is gone
		}
		return http.StatusOK
	}
	last, ok := s.format.appendError(s.scratch[:0], s.binding.Method, err)
	if !ok {
		return proxy.Aborted
	}
	_ = s.writeOut(last) // an error means that the client is gone
	return http.StatusOK
}

// end gives back what the stream holds.
func (s *restStream) end() {
	if s.zipper != nil {
		_ = s.zipper.Close() // an error means that the client is gone
		s.zip.put(s.zipper)
	}
	if s.body != nil {
		_ = s.body.Close() // it has no error of its own
	}
	if !s.deadline.IsZero() {
		_ = s.controller.SetWriteDeadline(time.Time{}) // the connection serves on
	}
}
