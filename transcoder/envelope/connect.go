package envelope

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

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// connectUnary is the edge of a unary call in the Connect protocol, by POST or
// GET: one HTTP body is one message. It also serves clients that just post JSON
// to the method's path (Semantics 10).
type connectUnary struct {
	transcoder.Call
	get         bool
	proto       bool // messages are in wire format, not JSON
	contentType string

	received bool
	tag      string // the backend's entity tag, if it says one and answers have them
	reply    proxy.Frame
	body     transcoder.Text // the answer: JSON in the call's scratch or kept, or bytes of the reply
}

var _ proxy.Downstream = (*connectUnary)(nil)

var connectUnaries = sync.Pool{New: func() any { return new(connectUnary) }}

const contentTypeProto = "application/proto"

// The two forms of a unary call: by POST, and by GET (and a HEAD of that).
var (
	ConnectUnary = &transcoder.Protocol{
		Name: "connect", RPC: true, WrongMethod: codes.Unknown,
		PostedAs: postedUnary,
		Open: func(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream {
			return openConnectUnary(b, x, false)
		},
		Refuse: refuseConnectUnary,
	}
	ConnectGet = &transcoder.Protocol{
		Name: "connect", RPC: true, WrongMethod: codes.Unknown,
		Sent: func(r *http.Request) bool {
			return (r.Method == http.MethodGet || r.Method == http.MethodHead) && isConnectGet(r.URL.RawQuery)
		},
		Takes:  func(m *transcoder.Method) bool { return m.NoSideEffects && m.Shape.Unary() },
		Open:   func(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream { return openConnectUnary(b, x, true) },
		Refuse: refuseConnectUnary,
	}
)

// postedUnary reports whether a POST is a unary call of Connect. JSON without parameters
// and the messages of others are asked of first.
func postedUnary(media string, h http.Header) bool {
	rest, ok := strings.CutPrefix(media, "application/")
	return ok && (strings.HasPrefix(rest, "json") || strings.HasPrefix(rest, "proto")) && field.First(h, "Connect-Protocol-Version") != ""
}

func openConnectUnary(b *transcoder.Binding, x exchange.Exchange, get bool) proxy.Downstream {
	c, ok := connectUnaries.Get().(*connectUnary)
	if !ok {
		panic("the pool of Connect calls holds something else") // its New is above
	}
	c.Binding, c.X = b, x
	c.get = get
	c.contentType = transcoder.ContentTypeJSON
	return c
}

// Open implements proxy.Downstream.
func (c *connectUnary) Open(ctx context.Context) (context.Context, error) {
	c.Deadline, _ = ctx.Deadline()
	if err := checkConnectVersion(c.X.R.Header); err != nil {
		return ctx, err
	}
	if c.get {
		return ctx, nil
	}
	if !c.Binding.Method.Shape.Unary() {
		return ctx, wrongContentType(c.X.Header(), c.X.R.Header, "application/connect+json, application/connect+proto")
	}
	switch format, err := transcoder.FormatOf(c.X.R.Header); {
	case err != nil || format == transcoder.FormatForm:
		return ctx, wrongContentType(c.X.Header(), c.X.R.Header, "application/json, application/proto")
	case format == transcoder.FormatProto:
		c.proto = true
		c.contentType = transcoder.ContentType(c.X.R.Header)
	}
	return ctx, c.checkEncoding(field.First(c.X.R.Header, "Content-Encoding"))
}

// checkConnectVersion takes the one version there is, or none.
func checkConnectVersion(h http.Header) error {
	if v := field.First(h, "Connect-Protocol-Version"); v != "" && v != "1" {
		return status.Errorf(codes.InvalidArgument, "Connect-Protocol-Version %q: expected 1", rpcerror.Clip(v))
	}
	return nil
}

// wrongContentType refuses a request and says what would be taken. The code is
// the one that Connect's clients give this HTTP status.
func wrongContentType(answer, request http.Header, accepted string) error {
	answer["Accept-Post"] = []string{accepted}
	return rpcerror.New(http.StatusUnsupportedMediaType, codes.Unknown,
		"Content-Type %q: expected one of %s", rpcerror.Clip(field.First(request, "Content-Type")), accepted)
}

// checkEncoding refuses compression that we do not know; Connect has a code of
// its own for that.
func (c *connectUnary) checkEncoding(name string) error {
	if name == "" || name == "identity" {
		return nil
	}
	if e := compression.Named(name); e != nil {
		return nil
	}
	c.X.Header()["Accept-Encoding"] = compression.AcceptedBodies
	return status.Errorf(codes.Unimplemented, "the encoding %q is not supported; expected %s", rpcerror.Clip(name), compression.Supported)
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
			err = c.DropBody()
		}
	} else {
		err = c.ReadBody()
	}
	if err != nil {
		return proxy.Frame{}, err
	}
	if c.proto {
		return proxy.NewFrame(c.Raw), nil
	}
	m := c.Binding.Method
	if len(bytes.TrimLeft(c.Raw, " \t\r\n")) == 0 {
		return proxy.Frame{}, nil // an empty body is an empty message (Semantics 19)
	}
	if c.Wire, err = m.Input.AppendWire(c.Wire[:0], c.Raw, m.Settings.Input); err != nil {
		return proxy.Frame{}, rpcerror.BadRequest("the message: %v", err)
	}
	return proxy.NewFrame(c.Wire), nil
}

// Header implements proxy.Downstream.
func (c *connectUnary) Header(md metadata.MD) {
	transcoder.SetMetadata(c.X.Header(), "", md)
	if c.get && c.TagsAnswers() {
		c.tag = transcoder.OwnTag(md)
		delete(c.X.Header(), "Etag") // what is left of it is no tag
	}
}

// Send implements proxy.Downstream. The answer waits for Finish, when the
// status and the trailer are known.
func (c *connectUnary) Send(f proxy.Frame) error {
	c.reply = f
	var err error
	c.body, err = c.EncodeConnect(&c.reply, c.proto)
	return err
}

// Flush implements proxy.Downstream; a unary answer leaves whole.
func (c *connectUnary) Flush() {}

// Unblock implements proxy.Downstream; a unary Recv ends with the body.
func (c *connectUnary) Unblock() {}

// Status implements proxy.Answer.
func (c *connectUnary) Status(err error) int {
	switch {
	case err != nil && c.get && c.NotModified(err):
		return http.StatusNotModified
	case err != nil:
		st, httpStatus := rpcerror.Of(err, c.Binding.Method.Settings.Status)
		return rpcerror.ErrorStatus(httpStatus, st.Code())
	case c.get && c.TagsAnswers() && c.Unchanged(c.form(), c.reply.Bytes(), c.tag, &c.body):
		return http.StatusNotModified
	}
	return http.StatusOK
}

// Whole implements proxy.Answer.
func (c *connectUnary) Whole() bool { return true }

// Finish implements proxy.Downstream.
func (c *connectUnary) Finish(err error, trailer metadata.MD) int {
	h := c.X.Header()
	transcoder.SetMetadata(h, "Trailer-", trailer)
	httpStatus := http.StatusOK
	if err != nil && c.get && c.NotModified(err) {
		httpStatus = c.WriteNotModified(trailer)
	} else if err != nil {
		if c.get {
			c.SetErrorValidators(trailer)
		}
		var st *status.Status
		st, httpStatus = rpcerror.Of(err, c.Binding.Method.Settings.Status)
		httpStatus = rpcerror.ErrorStatus(httpStatus, st.Code())
		c.Scratch = newConnectError(c.Binding.Method.Errors, st).append(c.Scratch[:0])
		c.WriteBytes(httpStatus, transcoder.ContentTypeJSON, c.Scratch)
	} else {
		if c.get {
			field.AddVary(h, "Accept-Encoding")
			if c.TagsAnswers() {
				httpStatus = c.Tag(c.form(), c.reply.Bytes(), c.tag, &c.body)
			}
		}
		c.WriteText(httpStatus, c.contentType, &c.body)
	}
	c.reply.Free()
	c.Release()
	*c = connectUnary{Call: c.Call}
	connectUnaries.Put(c)
	return httpStatus
}

// form is how the answer is written, as Tag has it.
func (c *connectUnary) form() byte {
	if c.proto {
		return 'b'
	}
	return 'c'
}

// readQuery reads the message of a GET into raw.
func (c *connectUnary) readQuery() error {
	q, err := parseConnectGet(c.X.R.URL.RawQuery)
	if err != nil {
		return err
	}
	switch q.encoding {
	case "json":
	case "proto":
		c.proto, c.contentType = true, contentTypeProto
	default:
		return rpcerror.New(http.StatusUnsupportedMediaType, codes.Unknown,
			"query parameter encoding %q: expected json or proto", rpcerror.Clip(q.encoding))
	}
	if err := c.checkEncoding(q.compression); err != nil {
		return err
	}
	limit := c.Binding.Method.Settings.MaxBody
	if q.compression == "" || q.compression == "identity" {
		c.Raw = append(c.Raw[:0], q.message...)
		if int64(len(c.Raw)) > limit {
			return exchange.TooLarge(limit)
		}
		return nil
	}
	return c.Inflate(compression.Named(q.compression), strings.NewReader(q.message))
}
