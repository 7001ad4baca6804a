package transcoder

import (
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// writeTimeout ends the call of a client that does not read.
	writeTimeout = 30 * time.Second
	// lastWriteGrace is what such a client gets when the call is over already.
	lastWriteGrace = time.Second
	// stallCheck is how often a write that waits is looked at.
	stallCheck = writeTimeout / 4
)

// stallWatch notes since when a write is waiting, for a timer to look at. It
// takes the place of a write deadline, as HTTP/2 resets a stream whose deadline
// passes, also one on which nothing is being written. The zero value is ready;
// stalled may be called beside the others.
type stallWatch struct {
	epoch time.Time    // of the first write
	since atomic.Int64 // when the write under way began, in nanoseconds after epoch, plus 1; 0 for none
}

// begin is called before a write and returns the time.
func (w *stallWatch) begin() time.Time {
	now := time.Now()
	if w.epoch.IsZero() {
		w.epoch = now
	}
	w.since.Store(int64(now.Sub(w.epoch)) + 1)
	return now
}

func (w *stallWatch) end() { w.since.Store(0) }

// stalled reports whether a write has been waiting for as long as d.
func (w *stallWatch) stalled(d time.Duration) bool {
	since := w.since.Load()
	return since != 0 && int64(time.Since(w.epoch))+1-since >= int64(d)
}

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
