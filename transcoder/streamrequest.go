package transcoder

import (
	"bytes"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
)

// uploadChunk is the size of the HttpBody messages that an upload becomes.
const uploadChunk = 32 << 10

// openUpload prepares for a body of many messages.
func (s *restStream) openUpload() error {
	s.incoming.fullDuplex()
	if err := s.openElements(); err != nil {
		return err
	}
	s.wire = s.wire[:0]
	s.claimVariables()
	if err := s.appendPathAndQuery(); err != nil {
		return err
	}
	s.prefix = bytes.Clone(s.wire)
	return nil
}

// openElements prepares to cut the body into messages.
func (s *restStream) openElements() error {
	b := s.binding
	if b.body.kind == bodyNone {
		return nil
	}
	encoding, err := contentEncoding(s.x.Header(), s.x.R.Header, true)
	if err != nil {
		return err
	}
	s.body = &lazyBody{encoding: encoding, raw: s.incoming}
	if b.body.raw {
		s.chunk = make([]byte, uploadChunk)
		return nil
	}
	if !isNDJSON(first(s.x.R.Header, "Content-Type")) {
		format, err := s.bodyFormat()
		if err != nil {
			return err
		}
		if format != formatJSON && !(format == formatForm && b.Method.Settings.AnyContentType) {
			return NewStatusError(http.StatusUnsupportedMediaType, codes.InvalidArgument,
				"a stream of messages is sent as JSON; found Content-Type %q", clip(first(s.x.R.Header, "Content-Type")))
		}
	}
	s.elements = newElements(s.body, b.Method.Settings.MaxMessage)
	return nil
}

// Recv implements proxy.Downstream.
func (s *restStream) Recv() (proxy.Frame, error) {
	switch {
	case s.elements != nil:
		return s.recvElement()
	case s.chunk != nil:
		return s.recvChunk()
	case s.received > 0:
		return proxy.Frame{}, io.EOF
	}
	s.received++
	if s.binding.Method.Shape.ClientStreams {
		return proxy.NewFrame(s.prefix), nil
	}
	return s.recvOnly()
}

// recvOnly reads the one message of a server stream.
func (s *restStream) recvOnly() (proxy.Frame, error) {
	if !s.incoming.Done() {
		// The server's own request keeps its own body.
		s.x.R = s.x.R.WithContext(s.x.R.Context())
		s.x.R.Body = io.NopCloser(s.incoming)
	}
	message, err := s.request()
	if err != nil {
		return proxy.Frame{}, err
	}
	if s.binding.body.kind == bodyNone {
		if err := s.dropBody(); err != nil {
			return proxy.Frame{}, err
		}
	}
	s.waitForFirst()
	return proxy.NewFrame(message), nil
}

func (s *restStream) recvElement() (proxy.Frame, error) {
	value, err := s.elements.next()
	if err == io.EOF {
		return proxy.Frame{}, err
	}
	if err != nil {
		return proxy.Frame{}, s.streamError(err, s.binding.Method.Settings.MaxMessage)
	}
	s.wire = s.wire[:0]
	err = s.appendJSON(value)
	if err == nil {
		err = s.checkBody(s.wire)
	}
	if err != nil {
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
		return proxy.Frame{}, s.streamError(err, s.binding.Method.Settings.MaxBody)
	}
	contentType := ""
	if s.received == 0 {
		contentType = first(s.x.R.Header, "Content-Type")
	}
	s.received++
	s.raw = appendHTTPBody(s.raw[:0], contentType, s.chunk[:n])
	message := s.raw
	if s.binding.body.kind == bodyField {
		s.wire = appendSubmessage(s.wire[:0], s.binding.body.field.Descriptor(), message)
		message = s.wire
	}
	if err := s.checkBody(message); err != nil {
		return proxy.Frame{}, err
	}
	return proxy.NewFrame(append(message, s.prefix...)), nil
}

// streamError says in gRPC's terms why a body could not be read on.
func (s *restStream) streamError(err error, limit int64) error {
	if s.incoming.Over() {
		return errUnblocked
	}
	return bodyError(err, limit)
}
