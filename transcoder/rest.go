package transcoder

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// restUnary is the edge of a unary RPC called as REST: one HTTP request is one
// message, one HTTP answer the other.
type restUnary struct {
	Call
	unaryAnswer
	received bool
}

// unaryAnswer is what becomes of the backend's answer.
type unaryAnswer struct {
	// reply is the answer's message.
	reply       proxy.Frame
	body        Text // the answer's body: JSON in the call's scratch or kept, or bytes of the reply
	contentType string
	statusCode  int    // from x-http-code; 0 for the usual one
	tag         string // the backend's entity tag, if it says one and answers have them
}

var _ proxy.Downstream = (*restUnary)(nil)

var restUnaries = sync.Pool{New: func() any { return new(restUnary) }}

// OpenUnary is the edge of a unary call by REST.
func OpenUnary(b *Binding, x exchange.Exchange) proxy.Downstream {
	c := restUnaries.Get().(*restUnary)
	c.Begin(b, x)
	return c
}

// Open implements proxy.Downstream.
func (c *restUnary) Open(ctx context.Context) (context.Context, error) {
	if !c.X.NoBody() { // which alone is waited for
		c.Deadline, _ = ctx.Deadline()
	}
	return ctx, nil
}

// Recv implements proxy.Downstream.
func (c *restUnary) Recv() (proxy.Frame, error) {
	if c.received {
		return proxy.Frame{}, io.EOF
	}
	c.received = true
	message, err := c.Request()
	if err == nil && c.Binding.Body.Kind == BodyNone {
		err = c.DropBody()
	}
	if err != nil {
		return proxy.Frame{}, err
	}
	return proxy.NewFrame(message), nil
}

// Header implements proxy.Downstream.
func (c *restUnary) Header(md metadata.MD) {
	s := &c.Binding.Method.Settings
	s.Headers.Response(c.X.Header(), md, s.OwnHeaders)
	if c.TagsAnswers() {
		c.tag = OwnTag(md)
		c.setValidators(md)
	}
	if s.StatusFromMetadata {
		if v := md[StatusMetadata]; len(v) == 1 {
			if code, err := strconv.Atoi(v[0]); err == nil && code >= 200 && code <= 599 {
				c.statusCode = code
			}
		}
	}
}

// Send implements proxy.Downstream. The answer waits for Finish, when the
// status is known.
func (c *restUnary) Send(f proxy.Frame) error {
	c.reply = f
	var err error
	c.body, c.contentType, err = c.Encode(&c.reply)
	return err
}

// Encode turns a reply into an answer's body. The body lives as long as the
// frame and the call.
func (c *Call) Encode(f *proxy.Frame) (body Text, contentType string, err error) {
	a, kinds := &c.Binding.answer, c.Binding.forms
	wire := f.Bytes()
	switch {
	case a.raw:
		raw, err := ParseHTTPBody(c.Binding.AnswerPart(wire))
		if err != nil {
			return Text{}, "", err
		}
		body.Short = raw.Data
		if !body.kept(f, &kinds.rest) {
			c.keep(&body, f, formBinary, nil)
		}
		return body, raw.ContentTypeOrDefault(), nil
	case c.binaryAnswer && a.binary:
		body.Short = c.Binding.AnswerPart(wire)
		if !body.kept(f, &kinds.binary) {
			c.keep(&body, f, formBinary, nil)
		}
		return body, c.binaryType, nil
	case body.kept(f, &kinds.rest):
		body.Short = body.form.Text
		return body, ContentTypeJSON, nil
	}
	if c.Scratch, body.Long, err = c.Binding.Convert(c.Scratch[:0], wire); err != nil {
		return Text{}, "", BrokenAnswer(c.Binding.Method, "the backend's answer", err)
	}
	body.Short = c.Scratch
	c.keep(&body, f, formREST, body.Short)
	return body, ContentTypeJSON, nil
}

// form is how the answer is written.
func (c *restUnary) form() byte {
	if a := &c.Binding.answer; a.raw || c.binaryAnswer && a.binary {
		return formBinary
	}
	return formREST
}

// AnswerPart returns the message that the answer is: of a reply, or of its field
// response_body.
func (b *Binding) AnswerPart(wire []byte) []byte {
	if field := b.answer.field; field != nil {
		return submessage(wire, field.Descriptor().Number())
	}
	return wire
}

// Flush implements proxy.Downstream; a unary answer leaves whole.
func (c *restUnary) Flush() {}

// Unblock implements proxy.Downstream; a unary Recv ends with the body.
func (c *restUnary) Unblock() {}

// Finish implements proxy.Downstream.
func (c *restUnary) Finish(err error, trailer metadata.MD) int {
	c.TakeTrailer(trailer)
	var httpStatus int
	switch {
	case err != nil && c.TagsAnswers() && c.NotModified(err):
		httpStatus = c.WriteNotModified(trailer)
	case err != nil:
		c.SetErrorValidators(trailer)
		httpStatus = c.WriteError(err)
	default:
		httpStatus = http.StatusOK
		if c.statusCode != 0 {
			httpStatus = c.statusCode
		}
		if httpStatus == http.StatusOK && c.TagsAnswers() {
			httpStatus = c.Tag(c.form(), c.reply.Bytes(), c.tag, &c.body)
		}
		c.WriteText(httpStatus, c.contentType, &c.body)
	}
	c.SendTrailer(trailer)
	c.reply.Free()
	c.Release()
	c.unaryAnswer, c.received = unaryAnswer{}, false
	restUnaries.Put(c)
	return httpStatus
}

// Status implements proxy.Answer.
func (c *restUnary) Status(err error) int {
	switch {
	case err != nil && c.TagsAnswers() && c.NotModified(err):
		return http.StatusNotModified
	case err != nil:
		return c.ErrorStatus(err)
	case c.statusCode != 0 && c.statusCode != http.StatusOK:
		return c.statusCode
	case c.TagsAnswers() && c.Unchanged(c.form(), c.reply.Bytes(), c.tag, &c.body):
		return http.StatusNotModified
	}
	return http.StatusOK
}

// Whole implements proxy.Answer.
func (c *restUnary) Whole() bool { return true }

// WriteBytes sends a whole answer.
func (c *Call) WriteBytes(httpStatus int, contentType string, body []byte) {
	c.WriteText(httpStatus, contentType, &Text{Short: body})
}

// WriteText is write for an answer that may be long.
func (c *Call) WriteText(httpStatus int, contentType string, body *Text) {
	size := body.Size()
	h := c.X.Header()
	c.X.Announce()
	if httpStatus == http.StatusNoContent || httpStatus == http.StatusNotModified {
		c.X.WriteHeader(httpStatus)
		return
	}
	SetContentType(h, contentType)
	if size >= largeAnswer || size >= exchange.LongAnswer && c.X.Multiplexed() {
		c.X.BoundWrite(size)
		defer c.X.UnboundWrite()
	}
	if size >= compression.MinSize && h["Content-Encoding"] == nil {
		field.AddVary(h, "Accept-Encoding")
		if encoding := compression.Accepted(c.X.R.Header); encoding != nil {
			h["Content-Encoding"] = encoding.Header
			c.X.WriteHeader(httpStatus)
			if c.X.R.Method != http.MethodHead {
				// An error means that the client is gone; nobody is left to tell.
				_ = body.Compress(encoding, &c.X)
			}
			return
		}
	}
	if size > 2<<10 && !c.lateTrailer { // below, net/http counts itself
		h["Content-Length"] = []string{strconv.Itoa(size)}
	}
	if httpStatus != http.StatusOK {
		c.X.WriteHeader(httpStatus)
	}
	if c.X.R.Method == http.MethodHead && body.Long != nil {
		return
	}
	_ = body.CopyTo(&c.X) // an error means that the client is gone
}

// largeAnswer is what a connection may not take at once, in bytes; the client of
// such an answer has exchange.WriteTimeout, and a second for each 64 KiB, to read it. Over
// HTTP/2, where the client says how much is taken, exchange.LongAnswer is enough for that.
const largeAnswer = 256 << 10

// WriteError sends an error as a google.rpc.Status.
func (c *Call) WriteError(err error) int {
	m := c.Binding.Method
	st, httpStatus := status.Convert(err), c.ErrorStatus(err)
	if m.Settings.StatusHeaders && !OwnError(err) {
		return c.writeStatusHeaders(httpStatus, st)
	}
	c.Scratch = rpcerror.AppendJSON(c.Scratch[:0], m.Errors, st)
	c.WriteBytes(httpStatus, ContentTypeJSON, c.Scratch)
	return httpStatus
}

// ErrorStatus is the HTTP status of an error that WriteError writes.
func (c *Call) ErrorStatus(err error) int {
	settings := &c.Binding.Method.Settings
	st, httpStatus := rpcerror.Of(err, settings.Status)
	switch {
	case settings.StatusHeaders && !OwnError(err):
		return rpcerror.ErrorStatus(httpStatus, st.Code())
	case httpStatus < 200:
		return http.StatusInternalServerError
	}
	return httpStatus
}

// writeStatusHeaders sends an error as headers without a body, as Envoy does. It
// passes on what the service sent, whose media type is gRPC's.
func (c *Call) writeStatusHeaders(httpStatus int, st *status.Status) int {
	h := c.X.Header()
	rpcerror.SetStatus(h, st)
	h["Content-Type"] = grpcType
	c.X.Announce()
	c.X.WriteHeader(httpStatus)
	return httpStatus
}

// grpcType is what Envoy calls an answer that has a status in its header.
var grpcType = []string{"application/grpc"}

// OwnError reports whether the gateway itself says what is wrong with a request.
func OwnError(err error) bool {
	var own *rpcerror.StatusError
	return errors.As(err, &own)
}
