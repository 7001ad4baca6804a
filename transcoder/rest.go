package transcoder

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
)

// restUnary is the edge of a unary RPC called as REST: one HTTP request is one
// message, one HTTP answer the other.
type restUnary struct {
	restCall
	// reply is the answer's body, out its content type.
	reply       proxy.Frame
	body        text // the answer's body: JSON in the call's scratch or of the reply, or bytes of the reply
	contentType string
	replied     bool
	received    bool
	statusCode  int // from x-http-code; 0 for the usual one
}

var _ proxy.Downstream = (*restUnary)(nil)

var restUnaries = sync.Pool{New: func() any { return new(restUnary) }}

// OpenUnary is the edge of a unary call by REST.
func OpenUnary(b *Binding, x Exchange) proxy.Downstream {
	c := restUnaries.Get().(*restUnary)
	c.begin(b, x)
	return c
}

// Open implements proxy.Downstream.
func (c *restUnary) Open(ctx context.Context) (context.Context, error) {
	c.deadline, _ = ctx.Deadline()
	return ctx, nil
}

// Recv implements proxy.Downstream.
func (c *restUnary) Recv() (proxy.Frame, error) {
	if c.received {
		return proxy.Frame{}, io.EOF
	}
	c.received = true
	message, err := c.request()
	if err == nil && c.binding.body.kind == bodyNone {
		err = c.dropBody()
	}
	if err != nil {
		return proxy.Frame{}, err
	}
	return proxy.NewFrame(message), nil
}

// Header implements proxy.Downstream.
func (c *restUnary) Header(md metadata.MD) {
	s := &c.binding.Method.Settings
	s.Headers.Response(c.x.Header(), md, s.OwnHeaders)
	if s.StatusFromMetadata {
		if v := md[statusMetadata]; len(v) == 1 {
			if code, err := strconv.Atoi(v[0]); err == nil && code >= 200 && code <= 599 {
				c.statusCode = code
			}
		}
	}
}

// Send implements proxy.Downstream. The answer waits for Finish, when the
// status is known.
func (c *restUnary) Send(f proxy.Frame) error {
	c.reply, c.replied = f, true
	var err error
	c.body, c.contentType, err = c.encode(&c.reply)
	return err
}

// encode turns a reply into an answer's body. The body lives as long as the
// frame and the call.
func (c *restCall) encode(f *proxy.Frame) (body text, contentType string, err error) {
	a := &c.binding.answer
	wire := f.Bytes()
	switch {
	case a.raw:
		raw, err := parseHTTPBody(c.binding.answerPart(wire))
		if err != nil {
			return text{}, "", err
		}
		return text{short: raw.data}, raw.contentTypeOrDefault(), nil
	case c.binaryAnswer && a.binary:
		return text{short: c.binding.answerPart(wire)}, c.binaryType, nil
	}
	if c.scratch, body.long, err = c.binding.convert(c.scratch[:0], wire); err != nil {
		return text{}, "", brokenAnswer(c.binding.Method, "the backend's answer", err)
	}
	body.short = c.scratch
	return body, contentTypeJSON, nil
}

// answerPart returns the message that the answer is: of a reply, or of its field
// response_body.
func (b *Binding) answerPart(wire []byte) []byte {
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
	c.takeTrailer(trailer)
	var httpStatus int
	switch {
	case err != nil:
		httpStatus = c.writeError(err)
	default:
		httpStatus = http.StatusOK
		if c.statusCode != 0 {
			httpStatus = c.statusCode
		}
		c.writeText(httpStatus, c.contentType, &c.body)
	}
	c.sendTrailer(trailer)
	c.reply.Free()
	c.release()
	body := c.restCall
	*c = restUnary{restCall: body}
	restUnaries.Put(c)
	return httpStatus
}

// write sends a whole answer.
func (c *restCall) write(httpStatus int, contentType string, body []byte) {
	c.writeText(httpStatus, contentType, &text{short: body})
}

// writeText is write for an answer that may be long.
func (c *restCall) writeText(httpStatus int, contentType string, body *text) {
	size := body.size()
	h := c.x.Header()
	c.x.Announce()
	if httpStatus == http.StatusNoContent || httpStatus == http.StatusNotModified {
		c.x.WriteHeader(httpStatus)
		return
	}
	setContentType(h, contentType)
	if size >= largeAnswer || size >= longAnswer && c.x.Multiplexed() {
		err := c.x.SetWriteDeadline(time.Now().Add(writeTimeout + time.Duration(size>>16)*time.Second))
		if err == nil && c.x.HTTP1() { // over HTTP/2 it is the stream's, whose last bytes the server writes later
			defer func() { _ = c.x.SetWriteDeadline(time.Time{}) }()
		}
	}
	if size >= minCompressed && h["Content-Encoding"] == nil {
		addVary(h, "Accept-Encoding")
		if encoding := acceptedEncoding(c.x.R.Header); encoding != nil {
			h["Content-Encoding"] = encoding.header
			c.x.WriteHeader(httpStatus)
			if c.x.R.Method != http.MethodHead {
				// An error means that the client is gone; nobody is left to tell.
				_ = body.compress(encoding, &c.x)
			}
			return
		}
	}
	if size > 2<<10 && !c.lateTrailer { // below, net/http counts itself
		h["Content-Length"] = []string{strconv.Itoa(size)}
	}
	if httpStatus != http.StatusOK {
		c.x.WriteHeader(httpStatus)
	}
	if c.x.R.Method == http.MethodHead && body.long != nil {
		return
	}
	_ = body.writeTo(&c.x) // an error means that the client is gone
}

// largeAnswer is what a connection may not take at once, in bytes; the client of
// such an answer has writeTimeout, and a second for each 64 KiB, to read it. Over
// HTTP/2, where the client says how much is taken, longAnswer is enough for that.
const largeAnswer = 256 << 10

// writeError sends an error as a google.rpc.Status.
func (c *restCall) writeError(err error) int {
	m := c.binding.Method
	st, httpStatus := statusOf(err, m.Settings.Status)
	if m.Settings.StatusHeaders && !ownError(err) {
		return c.writeStatusHeaders(httpStatus, st)
	}
	c.scratch = appendStatus(c.scratch[:0], m.errors, st)
	if httpStatus < 200 {
		httpStatus = http.StatusInternalServerError
	}
	c.write(httpStatus, contentTypeJSON, c.scratch)
	return httpStatus
}

// writeStatusHeaders sends an error as headers without a body, as Envoy does. It
// passes on what the service sent, whose media type is gRPC's.
func (c *restCall) writeStatusHeaders(httpStatus int, st *status.Status) int {
	httpStatus = errorStatus(httpStatus, st.Code())
	h := c.x.Header()
	setStatus(h, st)
	h["Content-Type"] = grpcType
	c.x.Announce()
	c.x.WriteHeader(httpStatus)
	return httpStatus
}

// grpcType is what Envoy calls an answer that has a status in its header.
var grpcType = []string{"application/grpc"}

// ownError reports whether the gateway itself says what is wrong with a request.
func ownError(err error) bool {
	var own *StatusError
	return errors.As(err, &own)
}
