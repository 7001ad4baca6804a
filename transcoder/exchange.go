package transcoder

import (
	"net/http"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Exchange is one HTTP request on its way through an edge.
type Exchange struct {
	// W and R are the server's.
	W http.ResponseWriter
	R *http.Request
	// Values are what the path's variables bind, in the template's order, decoded.
	Values []string
	// BeforeHeader is called once, just before the answer's header is written,
	// and may change it. Nil for nothing to do.
	BeforeHeader func(http.Header)
	// Readings are the gateway's. Nil for a gateway of this one request.
	Readings *Readings
}

// restCall is what the REST edges of unary and streaming calls share.
type restCall struct {
	binding *Binding
	body    *body // what becomes of the request's body: the binding's, or its frame
	x       Exchange

	// raw is the request's body, wire the request in wire form, scratch the
	// answer. They are kept between calls.
	raw, wire, scratch []byte
	// filled is what the path and the query set.
	filled jsonwire.Filled

	deadline     time.Time // of the call; zero for none
	binaryAnswer bool      // the client wants the message in wire format
	binaryType   string    // and calls it so
	lateTrailer  bool      // trailing metadata follows the body
}

func (c *restCall) begin(b *Binding, x Exchange) {
	c.binding, c.body, c.x = b, &b.body, x
	c.binaryAnswer, c.binaryType = wantsBinary(x.R.Header)
}

// release drops what belongs to the request and keeps the buffers, if they are
// not too large.
func (c *restCall) release() {
	c.filled.Reset()
	*c = restCall{raw: keep(c.raw), wire: keep(c.wire), scratch: keep(c.scratch), filled: c.filled}
}

func keep(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// maxStatus bounds a status as JSON, in bytes. Its details come in a header and are
// short, but their JSON may be many times as long.
const maxStatus = 1 << 20

func appendDetails(dst []byte, plan *jsonwire.Plan, message *spb.Status, o jsonwire.Output) ([]byte, error) {
	wire, err := proto.Marshal(message)
	if err != nil {
		return dst, err
	}
	return plan.AppendJSON(dst, wire, o)
}

// appendStatus writes a status as the JSON of google.rpc.Status. A detail whose
// type is unknown never loses the error (Semantics 26).
func appendStatus(dst []byte, plan *jsonwire.Plan, st *status.Status) []byte {
	message := st.Proto()
	if message == nil {
		message = &spb.Status{}
	}
	if out, err := appendDetails(dst, plan, message, jsonwire.Output{LenientAny: true, MaxBytes: maxStatus}); err == nil {
		return out
	}
	// Too long: the details stay as they came.
	if out, err := appendDetails(dst, plan, message, jsonwire.Output{LenientAny: true, OpaqueAny: true}); err == nil {
		return out
	}
	// Only text that is no UTF-8 gets here; say what can be said.
	wire, err := proto.Marshal(&spb.Status{Code: message.GetCode(), Message: toValidUTF8(message.GetMessage())})
	if err != nil {
		return append(dst, `{"code":13,"message":"","details":[]}`...)
	}
	out, err := plan.AppendJSON(dst, wire, jsonwire.Output{})
	if err != nil {
		return append(dst, `{"code":13,"message":"","details":[]}`...)
	}
	return out
}
