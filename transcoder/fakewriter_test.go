package transcoder

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

// fakeWriter is a server's ResponseWriter without a server. A write waits while
// it is held, until the write deadline is in the past.
type fakeWriter struct {
	mu        sync.Mutex
	changed   *sync.Cond
	header    http.Header
	status    int
	body      strings.Builder
	flushed   int // length of the body at the last flush
	held      bool
	writeDone bool // the write deadline has passed
	deadline  time.Time
	readDone  bool
}

func newFakeWriter() *fakeWriter {
	w := &fakeWriter{header: http.Header{}}
	w.changed = sync.NewCond(&w.mu)
	return w
}

func (w *fakeWriter) Header() http.Header { return w.header }

func (w *fakeWriter) WriteHeader(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = code
}

func (w *fakeWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.held && !w.writeDone {
		w.changed.Wait()
	}
	if w.writeDone {
		return 0, context.DeadlineExceeded
	}
	return w.body.Write(b)
}

func (w *fakeWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushed = w.body.Len()
	return nil
}

func (w *fakeWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	w.writeDone = w.writeDone || !t.IsZero() && t.Before(time.Now()) // a broken connection stays so
	w.changed.Broadcast()
	return nil
}

func (w *fakeWriter) SetReadDeadline(time.Time) error {
	w.readDone = true
	return nil
}

// visible is what the client has.
func (w *fakeWriter) visible() (status int, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, w.body.String()[:w.flushed]
}
