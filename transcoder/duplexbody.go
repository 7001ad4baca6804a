package transcoder

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lingerTime is how long an HTTP/1.1 server goes on reading a request whose
// answer is complete, so that the client gets to read it.
const lingerTime = 500 * time.Millisecond

// duplexBody is the body of a request that is still read when the answer may
// have begun, or when nobody waits for the request any more. It makes a waiting
// Read give up, and sees to it that what an HTTP/1.1 client goes on sending is
// never taken for its next request: net/http would.
type duplexBody struct {
	body       io.Reader
	controller *http.ResponseController
	http1      bool
	// duplex: net/http leaves the rest of the request alone.
	duplex bool

	reading     atomic.Bool // Read waits for the client
	done        atomic.Bool // the body was read to its end
	over        atomic.Bool // nobody wants more
	interrupted atomic.Bool // a Read may have been broken off
}

func newDuplexBody(r *http.Request, controller *http.ResponseController) *duplexBody {
	d := &duplexBody{body: r.Body, controller: controller, http1: r.ProtoMajor == 1}
	d.done.Store(r.Body == nil || r.Body == http.NoBody)
	return d
}

var errUnblocked = status.Error(codes.Canceled, "the call has ended")

// Read implements io.Reader.
func (d *duplexBody) Read(p []byte) (int, error) {
	if d.done.Load() {
		return 0, io.EOF
	}
	d.reading.Store(true)
	defer d.reading.Store(false)
	if d.over.Load() {
		return 0, errUnblocked
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
func (d *duplexBody) Unblock() {
	d.over.Store(true)
	if d.done.Load() || !d.reading.Load() {
		return
	}
	// Beside the end of the body: see closeAfter.
	d.interrupted.Store(true)
	if !d.done.Load() {
		_ = d.controller.SetReadDeadline(time.Unix(1, 0)) // unsupported only by recorders, which do not block
	}
}

// fullDuplex lets an HTTP/1.1 answer begin before the request has ended.
func (d *duplexBody) fullDuplex() {
	if d.http1 {
		// Not every server can; then the answer waits for the whole body.
		d.duplex = d.controller.EnableFullDuplex() == nil
	}
}

// closeAfter is called before the answer's header is written. A connection
// whose request is not at its end then cannot serve another one.
func (d *duplexBody) closeAfter(h http.Header) {
	if d.http1 && (d.duplex && !d.done.Load() || d.interrupted.Load()) {
		h["Connection"] = []string{"close"}
	}
}

// linger bounds the time in which the server reads the rest of the request.
func (d *duplexBody) linger() {
	if d.http1 && !d.done.Load() {
		_ = d.controller.SetReadDeadline(time.Now().Add(lingerTime)) // as above
	}
}

// lazyBody takes the Content-Encoding off at the first Read: decompressors read
// the beginning of the data when they are made, and that may be long in coming.
type lazyBody struct {
	encoding *encoding // nil for none
	raw      io.Reader
	open     io.ReadCloser
}

// Read implements io.Reader.
func (b *lazyBody) Read(p []byte) (int, error) {
	if b.encoding == nil {
		return b.raw.Read(p)
	}
	if b.open == nil {
		var err error
		if b.open, err = b.encoding.newReader(b.raw); err != nil {
			return 0, err
		}
	}
	return b.open.Read(p)
}

// Close gives the decompressor back.
func (b *lazyBody) Close() {
	if b.open != nil {
		_ = b.open.Close() // it has no error of its own
		b.open, b.encoding, b.raw = nil, nil, http.NoBody
	}
}
