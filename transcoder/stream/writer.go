package stream

import (
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// stallCheck is how often a write that waits is looked at.
const stallCheck = exchange.WriteTimeout / 4

// nextCheck is stallCheck or less. Thousands of streams that began at once, as after a restart, would else be looked at
// at once for as long as they live, each by a goroutine.
func nextCheck() time.Duration {
	return stallCheck - rand.N(stallCheck/2) //nolint:gosec // it spreads them
}

// streamWriter writes a streaming answer, compressed where the client takes
// that. The zero value has written nothing; only its watch may be used
// beside the others.
type streamWriter struct {
	x      *exchange.Exchange
	out    io.Writer
	zip    *compression.Encoding
	zipper compression.Writer
	last   time.Time // of the last write
	watch  exchange.StallWatch
}

// begin writes the answer's header. e is its encoding, nil for none.
func (w *streamWriter) begin(to *exchange.Exchange, httpStatus int, e *compression.Encoding) {
	w.x, w.out = to, to
	if e != nil {
		to.Header()["Content-Encoding"] = e.Header
		w.zip, w.zipper = e, e.Writer(to)
		w.out = w.zipper
	}
	to.WriteHeader(httpStatus)
	w.last = time.Now()
}

// write hands b to the server, or, if that is full, to the client.
func (w *streamWriter) write(b []byte) error {
	w.last = w.watch.Begin()
	_, err := w.out.Write(b)
	w.watch.End()
	if err != nil {
		return status.Error(codes.Canceled, "the client went away or stopped reading")
	}
	return nil
}

// streamPieces writes long JSON by a streamWriter, which looks at each piece how
// long it waits.
type streamPieces struct{ w *streamWriter }

// Write implements io.Writer.
func (p streamPieces) Write(b []byte) (int, error) {
	if err := p.w.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// flush sends the client what was written.
func (w *streamWriter) flush() {
	w.watch.Begin()
	defer w.watch.End()
	if w.zipper != nil {
		_ = w.zipper.Flush() // the next write notices a client that is gone
	}
	_ = w.x.Flush()
}

// flushHeader sends the header by a goroutine of its own: net/http takes some 3 KB of stack for that, once, which
// would double the stack that a stream has as long as it lasts.
func (w *streamWriter) flushHeader() {
	w.watch.Begin()
	defer w.watch.End()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.x.Flush() // the next write notices a client that is gone
	}()
	<-done
}

// close ends the answer.
func (w *streamWriter) close() {
	if w.zipper != nil {
		_ = w.zipper.Close() // an error means that the client is gone
		w.zip.Put(w.zipper)
		w.zipper = nil
	}
}
