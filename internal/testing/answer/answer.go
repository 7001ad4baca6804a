// Package answer has a server's half of an answer without a server.
package answer

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Writer is a server's ResponseWriter without a server. A write waits while
// it is held, until the write deadline is in the past.
type Writer struct {
	Mutex     sync.Mutex
	Changed   *sync.Cond
	header    http.Header
	Status    int
	Body      strings.Builder
	flushed   int // length of the body at the last flush
	Held      bool
	WriteDone bool // the write deadline has passed
	Deadline  time.Time
	ReadDone  bool
}

// NewWriter makes a Writer that holds nothing back.
func NewWriter() *Writer {
	w := &Writer{header: http.Header{}}
	w.Changed = sync.NewCond(&w.Mutex)
	return w
}

// Header implements http.ResponseWriter.
func (w *Writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *Writer) WriteHeader(code int) {
	w.Mutex.Lock()
	defer w.Mutex.Unlock()
	w.Status = code
}

// Write implements http.ResponseWriter.
func (w *Writer) Write(b []byte) (int, error) {
	w.Mutex.Lock()
	defer w.Mutex.Unlock()
	for w.Held && !w.WriteDone {
		w.Changed.Wait()
	}
	if w.WriteDone {
		return 0, context.DeadlineExceeded
	}
	return w.Body.Write(b)
}

// FlushError is what http.ResponseController calls.
func (w *Writer) FlushError() error {
	w.Mutex.Lock()
	defer w.Mutex.Unlock()
	w.flushed = w.Body.Len()
	return nil
}

// SetWriteDeadline is what http.ResponseController calls.
func (w *Writer) SetWriteDeadline(t time.Time) error {
	w.Mutex.Lock()
	defer w.Mutex.Unlock()
	w.Deadline = t
	w.WriteDone = w.WriteDone || !t.IsZero() && t.Before(time.Now()) // a broken connection stays so
	w.Changed.Broadcast()
	return nil
}

// SetReadDeadline is what http.ResponseController calls.
func (w *Writer) SetReadDeadline(time.Time) error {
	w.ReadDone = true
	return nil
}

// Visible is what the client has.
func (w *Writer) Visible() (status int, body string) {
	w.Mutex.Lock()
	defer w.Mutex.Unlock()
	return w.Status, w.Body.String()[:w.flushed]
}
