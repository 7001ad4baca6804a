package transcoder

import (
	"time"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

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
