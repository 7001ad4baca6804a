package exchange

import (
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lingerTime is how long an HTTP/1.1 server goes on reading a request whose
// answer is complete, so that the client gets to read it.
const lingerTime = 500 * time.Millisecond

// Body is the body of a request that is still read when the answer may
// have begun, or when nobody waits for the request any more. It makes a waiting
// Read give up, and sees to it that what an HTTP/1.1 client goes on sending is
// never taken for its next request: net/http would.
type Body struct {
	body io.Reader
	x    *Exchange
	// http1 is x.HTTP1, which may not be asked while another body takes the request's place.
	http1 bool
	// duplex: net/http leaves the rest of the request alone.
	duplex bool

	reading     atomic.Bool // Read waits for the client
	done        atomic.Bool // the body was read to its end
	over        atomic.Bool // nobody wants more
	interrupted atomic.Bool // a Read may have been broken off
}

// NewBody is the body of the exchange's request as it is now.
func NewBody(x *Exchange) *Body {
	d := &Body{body: x.R.Body, x: x, http1: x.HTTP1()}
	d.done.Store(x.NoBody())
	return d
}

// ErrUnblocked ends the reading of a call that is over.
var ErrUnblocked = status.Error(codes.Canceled, "the call has ended")

// Read implements io.Reader.
func (d *Body) Read(p []byte) (int, error) {
	if d.done.Load() {
		return 0, io.EOF
	}
	d.reading.Store(true)
	defer d.reading.Store(false)
	if d.over.Load() {
		return 0, ErrUnblocked
	}
	n, err := d.body.Read(p)
	if err == io.EOF {
		d.done.Store(true)
	}
	return n, err
}

// Unblock makes a Read under way, and each that follows, fail. It leaves a body
// alone that nobody reads: once net/http has seen its end, a deadline would
// cancel the connection's next request.
func (d *Body) Unblock() {
	d.over.Store(true)
	if d.done.Load() || !d.reading.Load() {
		return
	}
	// Beside the end of the body: see CloseAfter.
	d.interrupted.Store(true)
	if !d.done.Load() {
		d.x.InterruptRead()
	}
}

// Done reports whether the body was read to its end.
func (d *Body) Done() bool { return d.done.Load() }

// Over reports whether nobody wants more of the body.
func (d *Body) Over() bool { return d.over.Load() }

// FullDuplex lets an HTTP/1.1 answer begin before the request has ended.
func (d *Body) FullDuplex() {
	if d.http1 {
		d.duplex = d.x.FullDuplex()
	}
}

// CloseAfter is called before the answer's header is written. A connection
// whose request is not at its end then cannot serve another one.
func (d *Body) CloseAfter() {
	if d.http1 && (d.duplex && !d.done.Load() || d.interrupted.Load()) {
		d.x.CloseConnection()
	}
}

// Linger bounds the time in which the server reads the rest of the request.
func (d *Body) Linger() {
	if d.http1 && !d.done.Load() {
		_ = d.x.SetReadDeadline(time.Now().Add(lingerTime)) // it fails for recorders only
	}
}
