package transcoder

import (
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// stallCheck is how often a write that waits is looked at.
const stallCheck = writeTimeout / 4

// streamWriter writes a streaming answer, compressed where the client takes
// that. The zero value has written nothing; only its watch may be used
// beside the others.
type streamWriter struct {
	x      *Exchange
	out    io.Writer
	zip    *encoding
	zipper resettableWriter
	last   time.Time // of the last write
	watch  stallWatch
}

// begin writes the answer's header. e is its encoding, nil for none.
func (w *streamWriter) begin(to *Exchange, httpStatus int, e *encoding) {
	w.x, w.out = to, to
	if e != nil {
		to.Header()["Content-Encoding"] = e.header
		w.zip, w.zipper = e, e.writer(to)
		w.out = w.zipper
	}
	to.WriteHeader(httpStatus)
	w.last = time.Now()
}

// write hands b to the server, or, if that is full, to the client.
func (w *streamWriter) write(b []byte) error {
	w.last = w.watch.begin()
	_, err := w.out.Write(b)
	w.watch.end()
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
	w.watch.begin()
	defer w.watch.end()
	if w.zipper != nil {
		_ = w.zipper.Flush() // the next write notices a client that is gone
	}
	_ = w.x.Flush()
}

// close ends the answer.
func (w *streamWriter) close() {
	if w.zipper != nil {
		_ = w.zipper.Close() // an error means that the client is gone
		w.zip.put(w.zipper)
		w.zipper = nil
	}
}
