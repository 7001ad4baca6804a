package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	unknown = -1 // a length
	// maxHeld is how much of a body waits, in bytes, to see whether it is the whole: then its length is told.
	maxHeld = 2 << 10
	// maxReady is how much waits to be sent together, in bytes; a longer piece is sent as it is.
	maxReady = 16 << 10
	// maxPooled bounds what is kept for the next answer, in bytes.
	maxPooled = 64 << 10
)

// output is what is ready to be sent, and the beginning of a body whose header is not.
type output struct {
	b, body []byte
	fields  []field // of a header that is being written
}

var outputs = sync.Pool{New: func() any { return &output{b: make([]byte, 0, firstBuffer), body: make([]byte, 0, maxHeld)} }}

func (o *output) release() {
	if cap(o.b) > maxPooled {
		o.b = make([]byte, 0, firstBuffer)
	}
	clear(o.fields) // after a panic
	o.b, o.body, o.fields = o.b[:0], o.body[:0], o.fields[:0]
	outputs.Put(o)
}

// Write implements io.Writer, for trailers.
func (o *output) Write(p []byte) (int, error) {
	o.b = append(o.b, p...)
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (o *output) WriteString(s string) (int, error) {
	o.b = append(o.b, s...)
	return len(s), nil
}

// response is the http.ResponseWriter of one request.
type response struct {
	c      *conn
	r      *http.Request
	header http.Header

	status  int   // 0 until it is written
	length  int64 // that the header tells
	written int64 // of the body, by the handler
	// What the header said when it was written.
	hasDate, hasType, hasTrailers, encoded, coded bool
	says                                          bool     // something of a length
	trailers                                      []string // that are announced

	began     bool // the header is ready, and all of the body so far
	chunks    bool // the body is sent in chunks
	closes    bool // the connection ends behind the answer
	saysClose bool // which the handler does not say
	done      bool // the handler has returned
	over      bool // the answer has ended
}

var (
	_ http.ResponseWriter = (*response)(nil)
	_ io.ReaderFrom       = (*response)(nil)
	_ io.StringWriter     = (*response)(nil)
)

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// bodyAllowed reports whether answers of a status have a body (RFC 9110, 15).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// WriteHeader implements http.ResponseWriter. What it makes of the header is what the handler changes no
// more.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || w.over {
		w.c.of.Log.Printf("http: superfluous WriteHeader: the status is %d already, and not %d", w.status, status)
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	out := w.c.out
	writeStatus(out, status)
	says := w.look()
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.leave("Content-Length", "Transfer-Encoding")
		out.header()
		out.b = append(out.b, endOfLine...)
		w.c.flush()
		w.hasDate, w.hasType, w.hasTrailers, w.encoded, w.says, w.trailers = false, false, false, false, false, nil // it is only the first of two
		return
	}
	w.status = status
	w.frame(says)
	out.header()
}

func first(values []string) string {
	if len(values) > 0 {
		return values[0]
	}
	return ""
}

// hasBody reports whether the answer has a body.
func (w *response) hasBody() bool { return bodyAllowed(w.status) && w.r.Method != http.MethodHead }

// begin ends the header, by what is known now of the body.
func (w *response) begin() {
	w.began = true
	out := w.c.out
	if !w.hasDate {
		out.b = append(out.b, "Date: "...)
		out.b = append(append(out.b, w.c.of.date.Values()[0]...), endOfLine...)
	}
	if w.done && !w.hasTrailers && !w.coded && !w.says && bodyAllowed(w.status) && (w.r.Method != http.MethodHead || len(out.body) > 0) {
		w.length, w.chunks = int64(len(out.body)), false
		out.b = append(out.b, "Content-Length: "...)
		out.b = append(strconv.AppendInt(out.b, w.length, 10), endOfLine...)
	}
	if bodyAllowed(w.status) && !w.hasType && !w.coded && len(out.body) > 0 && !w.encoded {
		out.b = append(out.b, "Content-Type: "...)
		out.b = append(append(out.b, http.DetectContentType(out.body)...), endOfLine...)
	}
	if w.saysClose {
		out.b = append(out.b, "Connection: close\r\n"...)
	}
	if w.chunks {
		out.b = append(out.b, "Transfer-Encoding: chunked\r\n"...)
	}
	out.b = append(out.b, endOfLine...)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.over {
		return 0, errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length != unknown && w.written > w.length {
		return 0, http.ErrContentLength
	}
	var held []byte
	rest := p
	if !w.began {
		body := &w.c.out.body
		n := min(len(p), maxHeld-len(*body))
		*body, rest = append(*body, p[:n]...), p[n:]
		if len(rest) == 0 {
			return len(p), nil
		}
		w.begin()
		held = *body
	}
	w.add(held, rest)
	if err := w.c.err; err != nil {
		return 0, err
	}
	return len(p), nil
}

var errOver = errors.New("http: Write called after the handler has returned")

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// add has two pieces of the body follow what is ready, together.
func (w *response) add(a, b []byte) {
	if w.r.Method == http.MethodHead || len(a)+len(b) == 0 {
		return
	}
	out := w.c.out
	if w.chunks {
		out.b = append(strconv.AppendInt(out.b, int64(len(a)+len(b)), 16), endOfLine...)
	}
	out.b = append(out.b, a...)
	if len(out.b)+len(b) > maxReady {
		// Of the first part of something longer, the connection knows by its size that the rest follows at once.
		n := min(len(b), max(0, firstBuffer-len(out.b)))
		out.b = append(out.b, b[:n]...)
		w.c.flush()
		if b = b[n:]; len(b) > firstBuffer {
			w.c.send(b)
			b = nil
		}
	}
	out.b = append(out.b, b...)
	if w.chunks {
		out.b = append(out.b, endOfLine...)
	}
}

// ready ends the header, if nothing has, and has what was held of the body follow it.
func (w *response) ready() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.began {
		w.begin()
		w.add(w.c.out.body, nil)
	}
}

// FlushError is for http.ResponseController.
func (w *response) FlushError() error {
	if w.over {
		return errOver
	}
	w.ready()
	w.c.flush()
	return w.c.err
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() } // the next write tells of it

// sniffed is how much of a body says what it is, in bytes.
const sniffed = 512

// ReadFrom implements io.ReaderFrom: bodies whose length is known may go from connection to connection without us.
func (w *response) ReadFrom(from io.Reader) (n int64, err error) {
	to, ok := w.c.Conn.(io.ReaderFrom)
	if !ok || w.over {
		return w.copy(from)
	}
	if !w.began { // nothing is sent before the source has something
		n, err = w.copy(io.LimitReader(from, sniffed))
		if err != nil || n < sniffed {
			return n, err
		}
	}
	if err := w.FlushError(); err != nil {
		return n, err
	}
	if w.chunks || !w.hasBody() {
		more, err := w.copy(from)
		return n + more, err
	}
	more, err := to.ReadFrom(from)
	w.written += more
	return n + more, err
}

var copies = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copy writes what it reads.
func (w *response) copy(from io.Reader) (int64, error) {
	b := copies.Get().(*[32 << 10]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer copies.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{w}, from, b[:])
}

// finish ends the answer, as the handler has returned.
func (w *response) finish() {
	w.done = true
	w.ready()
	if w.chunks {
		out := w.c.out
		out.b = append(out.b, "0\r\n"...)
		_ = w.ending().Write(out) // it is memory
		out.b = append(out.b, endOfLine...)
	}
	w.c.flush()
}

// ending is what is told behind the body.
func (w *response) ending() (fields http.Header) {
	tell := func(name string, values []string) {
		if fields == nil {
			fields = http.Header{}
		}
		fields[name] = append(fields[name], values...)
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			tell(name, values)
		}
	}
	for _, name := range w.trailers {
		tell(name, w.header[name])
	}
	return fields
}

// reusable reports whether another request may follow.
func (w *response) reusable() bool {
	return !w.closes && w.c.err == nil && (w.length == unknown || !w.hasBody() || w.length == w.written)
}

// SetReadDeadline is for http.ResponseController. There is no body to read: when it is over, so is the request. It may be called
// beside the other methods, as SetWriteDeadline may.
func (w *response) SetReadDeadline(t time.Time) error { return w.c.SetReadDeadline(t) }

// SetWriteDeadline is for http.ResponseController. It ends with the answer.
func (w *response) SetWriteDeadline(t time.Time) error { return w.c.SetWriteDeadline(t) }

// EnableFullDuplex is for http.ResponseController: there is no body that could come beside the answer.
func (*response) EnableFullDuplex() error { return nil }

// Hijack is for http.ResponseController. Who asks for another protocol is served by another server.
func (*response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, fmt.Errorf("the request asks for no other protocol: %w", http.ErrNotSupported)
}

func writeStatus(out *output, status int) {
	out.b = append(out.b, "HTTP/1.1 "...)
	out.b = strconv.AppendInt(out.b, int64(status), 10)
	text := http.StatusText(status)
	if text == "" {
		out.b = append(out.b, " status code "...)
		out.b = append(strconv.AppendInt(out.b, int64(status), 10), endOfLine...)
		return
	}
	out.b = append(out.b, ' ')
	out.b = append(append(out.b, text...), endOfLine...)
}
