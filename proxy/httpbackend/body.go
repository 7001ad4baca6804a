package httpbackend

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/field"
)

// lingerTime is how long a server of HTTP/1.1 goes on reading a request whose answer is
// complete, so that the client gets to read it.
const lingerTime = 500 * time.Millisecond

// requestBody is the body of the client's request. net/http's Transport reads it, beside
// the answer, which may be complete before: then a Read that waits for the client gives
// up, and what an HTTP/1.1 client goes on sending is never taken for its next request.
type requestBody struct {
	e       *exchange
	from    io.Reader // nil for none
	control *http.ResponseController
	http1   bool
	duplex  bool // net/http leaves the rest of the request alone
	expects bool // net/http writes 100 to the client when the body is read
	trailer http.Header

	gate sync.Mutex // held while the client's connection is interrupted
	gone bool       // Forward has returned, or is about to

	mu      sync.Mutex   // held by Read
	reading atomic.Bool  // Read waits for the client
	done    atomic.Bool  // the body was read to its end
	over    atomic.Bool  // nobody wants more
	cut     atomic.Bool  // the server's connection is closed
	broken  atomic.Bool  // a Read may have been broken off
	n       atomic.Int64 // bytes read
	failed  atomic.Value // of failure: why it cannot be read any further
}

// failure holds an error for an atomic.Value, which wants one type.
type failure struct{ error }

// begin looks at the request. end must be called.
func (b *requestBody) begin(e *exchange) {
	b.e = e
	r := e.R
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 || e.tunnel {
		b.done.Store(true)
		return
	}
	b.from, b.http1 = r.Body, r.ProtoMajor == 1
	b.control = http.NewResponseController(e.W)
	b.expects = b.http1 && field.HasToken(r.Header["Expect"], "100-continue")
	if b.http1 {
		b.duplex = b.control.EnableFullDuplex() == nil
	}
}

// none reports whether the request has no body.
func (b *requestBody) none() bool { return b.from == nil }

// sends100 reports whether a client that waits for 100 gets it from net/http, when the
// body is read.
func (b *requestBody) sends100() bool { return b.expects }

// count is how many bytes were read.
func (b *requestBody) count() int64 { return b.n.Load() }

// err is why the body cannot be read, where that is its sender's fault; nil for none.
func (b *requestBody) err() error {
	if f, ok := b.failed.Load().(failure); ok {
		return f.error
	}
	return nil
}

// trailers is the request's trailer for the server: what is announced stands in it now,
// the values when the body has been read.
func (b *requestBody) trailers() http.Header {
	b.trailer = make(http.Header, len(b.e.R.Trailer))
	for name := range b.e.R.Trailer {
		if passesInTrailer(name) {
			b.trailer[name] = nil
		}
	}
	return b.trailer
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done.Load() {
		return 0, io.EOF
	}
	if err := b.err(); err != nil {
		return 0, err
	}
	b.e.move()
	b.reading.Store(true)
	defer b.reading.Store(false)
	if b.over.Load() {
		return 0, over(b.cut.Load())
	}
	n, err := b.from.Read(p)
	b.e.move()
	total := b.n.Add(int64(n))
	if limit := b.e.MaxBody; limit > 0 && total > limit {
		return 0, b.fail(tooLarge(limit))
	}
	switch {
	case err == io.EOF:
		b.finish()
	case err != nil:
		if b.over.Load() {
			return n, over(b.cut.Load())
		}
		return n, b.fail(clientError(err))
	}
	return n, err
}

// over is the end of a body that nobody wants any more. Transport takes an error of the
// body for the reason of every failure, and forgets the server's. So where the server's
// connection is closed already, and nothing is sent any more, the body just ends.
func over(cut bool) error {
	if cut {
		return io.EOF
	}
	return errOver
}

// fail notes why the body cannot be read.
func (b *requestBody) fail(err error) error {
	b.failed.CompareAndSwap(nil, failure{err})
	return err
}

// finish notes the end of the body and its trailer, which stands in the request now.
func (b *requestBody) finish() {
	if b.trailer != nil {
		for name, values := range b.e.R.Trailer {
			if areValues(values) && passesInTrailer(name) {
				b.trailer[name] = values
			}
		}
	}
	b.done.Store(true)
}

// Close implements io.Closer. net/http calls it when it will not read any further; that
// nobody else does, end says.
func (b *requestBody) Close() error { return nil }

// closeAfter is called before the header of the answer is written. A connection of
// HTTP/1 whose request is not at its end then cannot serve another one.
func (b *requestBody) closeAfter(h http.Header) {
	if b.http1 && (b.duplex && !b.done.Load() || b.broken.Load()) {
		h["Connection"] = closes
	}
}

var closes = []string{"close"}

// interrupt makes a Read under way, and each that follows, fail. It leaves a body alone
// that nobody reads: once net/http has seen its end, a deadline would cancel the
// connection's next request.
func (b *requestBody) interrupt() {
	if b.from == nil {
		return
	}
	b.gate.Lock()
	defer b.gate.Unlock()
	if b.gone {
		return
	}
	b.over.Store(true)
	if b.reading.Load() && !b.done.Load() {
		b.broken.Store(true)
		_ = b.control.SetReadDeadline(time.Unix(1, 0)) // it fails for recorders only, which do not block
	}
}

// end is interrupt that returns when nobody reads any more.
func (b *requestBody) end() {
	if b.from == nil {
		return
	}
	b.interrupt()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gate.Lock()
	defer b.gate.Unlock()
	b.gone = true
	if b.http1 && !b.done.Load() {
		_ = b.control.SetReadDeadline(time.Now().Add(lingerTime)) // as above
		EndGently(b.e.W)
	}
}

// EndGently has net/http end a connection of HTTP/1 when the request is answered, its half
// first, and the rest a while later: a client that goes on sending would be told so by a
// reset, which may take the answer away from it. net/http does that of itself for a body that was larger than a
// MaxBytesReader lets it be, and for some of those that it was not asked to read.
func EndGently(w http.ResponseWriter) {
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = outer.Unwrap()
	}
	var one [1]byte
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(one[:]) // it is to fail
}
