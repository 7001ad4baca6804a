package transcoder

import (
	"time"

	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Call is what the REST edges of unary and streaming calls share.
type Call struct {
	Binding *Binding
	Body    *Body // what becomes of the request's body: the binding's, or its frame
	X       exchange.Exchange

	// Raw is the request's body, wire the request in wire form, scratch the
	// answer. They are kept between calls.
	Raw, Wire, Scratch []byte
	// filled is what the path and the query set.
	filled jsonwire.Filled

	Deadline     time.Time // of the call; zero for none
	binaryAnswer bool      // the client wants the message in wire format
	binaryType   string    // and calls it so
	lateTrailer  bool      // trailing metadata follows the body
}

// Begin prepares for an exchange on a binding.
func (c *Call) Begin(b *Binding, x exchange.Exchange) {
	c.Binding, c.Body, c.X = b, &b.Body, x
	c.binaryAnswer, c.binaryType = wantsBinary(x.R.Header)
}

// Release drops what belongs to the request and keeps the buffers, if they are
// not too large.
func (c *Call) Release() {
	c.filled.Reset()
	*c = Call{Raw: exchange.Keep(c.Raw), Wire: exchange.Keep(c.Wire), Scratch: exchange.Keep(c.Scratch), filled: c.filled}
}
