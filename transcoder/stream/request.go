package stream

import (
	"bytes"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// uploadChunk is the size of the HttpBody messages that an upload becomes.
const uploadChunk = 32 << 10

// openUpload prepares for a body of many messages.
func (s *restStream) openUpload() error {
	s.incoming.FullDuplex()
	if err := s.openElements(); err != nil {
		return err
	}
	s.Wire = s.Wire[:0]
	s.ClaimVariables()
	if err := s.AppendPathAndQuery(); err != nil {
		return err
	}
	s.prefix = bytes.Clone(s.Wire)
	return nil
}

// openElements prepares to cut the body into messages.
func (s *restStream) openElements() error {
	b := s.Binding
	if b.Body.Kind == transcoder.BodyNone {
		return nil
	}
	encoding, err := compression.OfBody(s.X.Header(), s.X.R.Header, true)
	if err != nil {
		return err
	}
	s.body = &lazyBody{encoding: encoding, raw: s.incoming}
	if b.Body.Raw {
		s.chunk = make([]byte, uploadChunk)
		return nil
	}
	if !isNDJSON(field.First(s.X.R.Header, "Content-Type")) {
		format, err := s.BodyFormat()
		if err != nil {
			return err
		}
		if format != transcoder.FormatJSON && !(format == transcoder.FormatForm && b.Method.Settings.AnyContentType) {
			return rpcerror.New(http.StatusUnsupportedMediaType, codes.InvalidArgument,
				"a stream of messages is sent as JSON; found Content-Type %q", rpcerror.Clip(field.First(s.X.R.Header, "Content-Type")))
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
	if s.Binding.Method.Shape.ClientStreams {
		return proxy.NewFrame(s.prefix), nil
	}
	return s.recvOnly()
}

// recvOnly reads the one message of a server stream.
func (s *restStream) recvOnly() (proxy.Frame, error) {
	if !s.incoming.Done() {
		// The server's own request keeps its own body.
		s.X.R = s.X.R.WithContext(s.X.R.Context())
		s.X.R.Body = io.NopCloser(s.incoming)
	}
	message, err := s.Request()
	if err != nil {
		return proxy.Frame{}, err
	}
	if s.Binding.Body.Kind == transcoder.BodyNone {
		if err := s.DropBody(); err != nil {
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
		return proxy.Frame{}, s.streamError(err, s.Binding.Method.Settings.MaxMessage)
	}
	s.Wire = s.Wire[:0]
	err = s.AppendJSON(value)
	if err == nil {
		err = s.CheckBody(s.Wire)
	}
	if err != nil {
		return proxy.Frame{}, rpcerror.BadRequest("element %d: %s", s.elements.count-1, status.Convert(err).Message())
	}
	s.Wire = append(s.Wire, s.prefix...)
	return proxy.NewFrame(s.Wire), nil
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
		return proxy.Frame{}, s.streamError(err, s.Binding.Method.Settings.MaxBody)
	}
	contentType := ""
	if s.received == 0 {
		contentType = field.First(s.X.R.Header, "Content-Type")
	}
	s.received++
	s.Raw = transcoder.AppendHTTPBody(s.Raw[:0], contentType, s.chunk[:n])
	message := s.Raw
	if s.Binding.Body.Kind == transcoder.BodyField {
		s.Wire = transcoder.AppendSubmessage(s.Wire[:0], s.Binding.Body.Field.Descriptor(), message)
		message = s.Wire
	}
	if err := s.CheckBody(message); err != nil {
		return proxy.Frame{}, err
	}
	return proxy.NewFrame(append(message, s.prefix...)), nil
}

// streamError says in gRPC's terms why a body could not be read on.
func (s *restStream) streamError(err error, limit int64) error {
	if s.incoming.Over() {
		return exchange.ErrUnblocked
	}
	return exchange.BodyError(err, limit)
}
