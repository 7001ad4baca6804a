package transcoder

import (
	"time"

	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Call is what the edges share that make a message of path, query and body: it is
// embedded by them, and used by one goroutine unless a method says otherwise.
type Call struct {
	// Binding is what the call is on, X the server's side of it.
	Binding *Binding
	X       exchange.Exchange
	// Body is what becomes of the request's body: the binding's, or its frame.
	Body *Body

	// Raw is the request's body, Wire the request in wire form, Scratch the
	// answer. They are kept between calls.
	Raw, Wire, Scratch []byte
	// filled is what the path and the query set.
	filled jsonwire.Filled

	// Deadline is the call's; zero for none.
	Deadline time.Time

	hasRead      bool   // the body is in Raw
	binaryAnswer bool   // the client wants the message in wire format
	binaryType   string // and calls it so
	lateTrailer  bool   // trailing metadata follows the body
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
	raw, wire, scratch, filled := exchange.Keep(c.Raw), exchange.Keep(c.Wire), exchange.Keep(c.Scratch), c.filled
	*c = Call{}
	c.Raw, c.Wire, c.Scratch, c.filled = raw, wire, scratch, filled
}
