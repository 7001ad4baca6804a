package transcoder

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
)

// connectUnary is the edge of a unary call in the Connect protocol, by POST or
// GET: one HTTP body is one message. It also serves clients that just post JSON
// to the method's path (Semantics 10).
type connectUnary struct {
	restCall
	get         bool
	proto       bool // messages are in wire format, not JSON
	contentType string

	received bool
	reply    proxy.Frame
	body     text // the answer: JSON in the call's scratch or of the reply, or bytes of the reply
}

var _ proxy.Downstream = (*connectUnary)(nil)

var connectUnaries = sync.Pool{New: func() any { return new(connectUnary) }}

const contentTypeProto = "application/proto"

// The two forms of a unary call: by POST, and by GET (and a HEAD of that).
var (
	ConnectUnary = &Protocol{
		Name: "connect", RPC: true, WrongMethod: codes.Unknown,
		PostedAs: postedUnary,
		Open:     func(b *Binding, x Exchange) proxy.Downstream { return openConnectUnary(b, x, false) },
		Refuse:   refuseConnectUnary,
	}
	ConnectGet = &Protocol{
		Name: "connect", RPC: true, WrongMethod: codes.Unknown,
		Sent: func(r *http.Request) bool {
			return (r.Method == http.MethodGet || r.Method == http.MethodHead) && isConnectGet(r.URL.RawQuery)
		},
		Takes:  func(m *Method) bool { return m.NoSideEffects && m.Shape.Unary() },
		Open:   func(b *Binding, x Exchange) proxy.Downstream { return openConnectUnary(b, x, true) },
		Refuse: refuseConnectUnary,
	}
)

// postedUnary reports whether a POST is a unary call of Connect. JSON without parameters
// and the messages of others are asked of first.
func postedUnary(media string, h http.Header) bool {
	rest, ok := strings.CutPrefix(media, "application/")
	return ok && (strings.HasPrefix(rest, "json") || strings.HasPrefix(rest, "proto")) && first(h, "Connect-Protocol-Version") != ""
}

func openConnectUnary(b *Binding, x Exchange, get bool) proxy.Downstream {
	c, ok := connectUnaries.Get().(*connectUnary)
	if !ok {
		panic("the pool of Connect calls holds something else") // its New is above
	}
	c.binding, c.x = b, x
	c.get = get
	c.contentType = contentTypeJSON
	return c
}

// Open implements proxy.Downstream.
func (c *connectUnary) Open(ctx context.Context) (context.Context, error) {
	c.deadline, _ = ctx.Deadline()
	if err := checkConnectVersion(c.x.R.Header); err != nil {
		return ctx, err
	}
	if c.get {
		return ctx, nil
	}
	if !c.binding.Method.Shape.Unary() {
		return ctx, wrongContentType(c.x.Header(), c.x.R.Header, "application/connect+json, application/connect+proto")
	}
	switch format, err := formatOf(c.x.R.Header); {
	case err != nil || format == formatForm:
		return ctx, wrongContentType(c.x.Header(), c.x.R.Header, "application/json, application/proto")
	case format == formatProto:
		c.proto = true
		c.contentType = contentType(c.x.R.Header)
	}
	return ctx, c.checkEncoding(first(c.x.R.Header, "Content-Encoding"))
}

// checkConnectVersion takes the one version there is, or none.
func checkConnectVersion(h http.Header) error {
	if v := first(h, "Connect-Protocol-Version"); v != "" && v != "1" {
		return status.Errorf(codes.InvalidArgument, "Connect-Protocol-Version %q: expected 1", clip(v))
	}
	return nil
}

// wrongContentType refuses a request and says what would be taken. The code is
// the one that Connect's clients give this HTTP status.
func wrongContentType(answer, request http.Header, accepted string) error {
	answer["Accept-Post"] = []string{accepted}
	return NewStatusError(http.StatusUnsupportedMediaType, codes.Unknown,
		"Content-Type %q: expected one of %s", clip(first(request, "Content-Type")), accepted)
}

// checkEncoding refuses compression that we do not know; Connect has a code of
// its own for that.
func (c *connectUnary) checkEncoding(name string) error {
	if name == "" || name == "identity" {
		return nil
	}
	if e := encodingNamed(name); e != nil {
		return nil
	}
	c.x.Header()["Accept-Encoding"] = acceptedBodies
	return status.Errorf(codes.Unimplemented, "the encoding %q is not supported; expected %s", clip(name), anyEncoding)
}

// Recv implements proxy.Downstream.
func (c *connectUnary) Recv() (proxy.Frame, error) {
	if c.received {
		return proxy.Frame{}, io.EOF
	}
	c.received = true
	var err error
	if c.get {
		if err = c.readQuery(); err == nil {
			err = c.dropBody()
		}
	} else {
		err = c.readBody()
	}
	if err != nil {
		return proxy.Frame{}, err
	}
	if c.proto {
		return proxy.NewFrame(c.raw), nil
	}
	m := c.binding.Method
	if len(bytes.TrimLeft(c.raw, " \t\r\n")) == 0 {
		return proxy.Frame{}, nil // an empty body is an empty message (Semantics 19)
	}
	if c.wire, err = m.input.AppendWire(c.wire[:0], c.raw, m.Settings.Input); err != nil {
		return proxy.Frame{}, badRequest("the message: %v", err)
	}
	return proxy.NewFrame(c.wire), nil
}

// Header implements proxy.Downstream.
func (c *connectUnary) Header(md metadata.MD) { setMetadata(c.x.Header(), "", md) }

// Send implements proxy.Downstream. The answer waits for Finish, when the
// status and the trailer are known.
func (c *connectUnary) Send(f proxy.Frame) error {
	c.reply = f
	wire := c.reply.Bytes()
	if c.proto {
		c.body.short = wire
		return nil
	}
	m := c.binding.Method
	var err error
	if c.scratch, c.body.long, err = m.output.Convert(c.scratch[:0], wire, m.Settings.ConnectJSON); err != nil {
		return brokenAnswer(m, "the backend's answer", err)
	}
	c.body.short = c.scratch
	return nil
}

// Flush implements proxy.Downstream; a unary answer leaves whole.
func (c *connectUnary) Flush() {}

// Unblock implements proxy.Downstream; a unary Recv ends with the body.
func (c *connectUnary) Unblock() {}

// Finish implements proxy.Downstream.
func (c *connectUnary) Finish(err error, trailer metadata.MD) int {
	h := c.x.Header()
	setMetadata(h, "Trailer-", trailer)
	httpStatus := http.StatusOK
	if err != nil {
		var st *status.Status
		st, httpStatus = statusOf(err, c.binding.Method.Settings.Status)
		httpStatus = errorStatus(httpStatus, st.Code())
		c.scratch = newConnectError(c.binding.Method.errors, st).append(c.scratch[:0])
		c.write(httpStatus, contentTypeJSON, c.scratch)
	} else {
		if c.get {
			addVary(h, "Accept-Encoding")
		}
		c.writeText(httpStatus, c.contentType, &c.body)
	}
	c.reply.Free()
	c.release()
	*c = connectUnary{restCall: c.restCall}
	connectUnaries.Put(c)
	return httpStatus
}

// readQuery reads the message of a GET into raw.
func (c *connectUnary) readQuery() error {
	q, err := parseConnectGet(c.x.R.URL.RawQuery)
	if err != nil {
		return err
	}
	switch q.encoding {
	case "json":
	case "proto":
		c.proto, c.contentType = true, contentTypeProto
	default:
		return NewStatusError(http.StatusUnsupportedMediaType, codes.Unknown,
			"query parameter encoding %q: expected json or proto", clip(q.encoding))
	}
	if err := c.checkEncoding(q.compression); err != nil {
		return err
	}
	limit := c.binding.Method.Settings.MaxBody
	if q.compression == "" || q.compression == "identity" {
		c.raw = append(c.raw[:0], q.message...)
		if int64(len(c.raw)) > limit {
			return tooLarge(limit)
		}
		return nil
	}
	return c.inflate(encodingNamed(q.compression), strings.NewReader(q.message))
}
