package server

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/server/dateheader"
)

// http3Writer writes an answer over HTTP/3. One that may be short it keeps until the handler returns, and then sends
// it whole (shortAnswer); any other is quic-go's from where that is seen.
type http3Writer struct {
	http.ResponseWriter
	date *dateheader.Date
	// stream gives the request's stream to who answers it in place of quic-go; nil where only that knows how.
	stream http3.HTTPStreamer
	begun  bool         // a header was written, be it that of an interim answer
	final  bool         // the header of the answer itself was
	short  *shortAnswer // nil: the answer is quic-go's

	bounded atomic.Bool // there is a deadline of writes, which may have passed
	first   [1]byte     // of the request's body
}

// SetReadDeadline is for http.ResponseController.
func (w *http3Writer) SetReadDeadline(t time.Time) error {
	if stream, ok := w.ResponseWriter.(interface{ SetReadDeadline(time.Time) error }); ok {
		return stream.SetReadDeadline(t)
	}
	return http.ErrNotSupported
}

// SetWriteDeadline is for http.ResponseController.
func (w *http3Writer) SetWriteDeadline(t time.Time) error {
	w.bounded.Store(!t.IsZero())
	if stream, ok := w.ResponseWriter.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return stream.SetWriteDeadline(t)
	}
	return http.ErrNotSupported
}

// WriteHeader implements http.ResponseWriter.
func (w *http3Writer) WriteHeader(status int) {
	if w.short != nil {
		return // it has one
	}
	header := w.Header()
	if _, told := header["Date"]; !told && status >= http.StatusOK { // nil tells none
		header["Date"] = w.date.Values()
	}
	if !w.begun && w.stream != nil {
		w.short = beginShort(status, header)
	}
	w.begun, w.final = true, w.final || status >= http.StatusOK
	if w.short == nil {
		dropUnsendable(header)
		w.ResponseWriter.WriteHeader(status)
	}
}

// begin begins an answer whose handler tells no status.
func (w *http3Writer) begin() {
	if !w.final {
		w.begun, w.final = true, true
		dropUnsendable(w.Header())
	}
}

// Write implements io.Writer.
func (w *http3Writer) Write(p []byte) (int, error) {
	if !w.begun && w.Header()["Content-Type"] != nil { // which else quic-go guesses
		w.WriteHeader(http.StatusOK)
	}
	if w.short != nil && w.short.takes(p) {
		return len(p), nil
	}
	w.begin()
	if err := w.handOver(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (w *http3Writer) FlushError() error {
	w.begin()
	if err := w.handOver(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// handOver gives what was kept to quic-go.
func (w *http3Writer) handOver() error {
	s := w.short
	if s == nil {
		return nil
	}
	w.short = nil
	defer s.recycle()
	dropUnsendable(w.Header())
	w.ResponseWriter.WriteHeader(s.status)
	if len(s.body) == 0 {
		return nil
	}
	_, err := w.ResponseWriter.Write(s.body)
	return err
}

// finish sends what is left of the answer, or has quic-go do so within a time.
func (w *http3Writer) finish() {
	dropUnsendable(w.Header()) // of a header that is sent only now, or the trailer
	if w.short != nil && w.sendShort() {
		return
	}
	_ = w.handOver() // what is wrong with the answer quic-go tells the client
	if !w.bounded.Load() {
		_ = w.SetWriteDeadline(time.Now().Add(unreadWithin)) // of what quic-go sends only now; its streams have deadlines
	}
}

// sendShort ends the stream with the answer. It reports false, and has done nothing, where quic-go is to send it.
func (w *http3Writer) sendShort() bool {
	if !w.short.encode(w.Header()) {
		return false
	}
	stream, err := w.stream.HTTPStream()
	if err != nil {
		return false
	}
	// It is shorter than what a stream of quic-go takes without waiting for the client.
	_, err = stream.QUICStream().Write(w.short.wire)
	w.short.recycle()
	w.short = nil
	if err != nil {
		stream.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		stream.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		return true
	}
	stream.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError)) // of what the handler did not read
	_ = stream.Close()                                            // it fails only on one that was taken back
	return true
}

// EnableFullDuplex is for http.ResponseController: streams are.
func (*http3Writer) EnableFullDuplex() error { return nil }

// Unwrap is for http.ResponseController.
func (w *http3Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// contentLength is what a header tells: -1 for nothing, and false for what is no length.
func contentLength(h http.Header) (length int64, ok bool) {
	values := h["Content-Length"]
	if len(values) == 0 || values[0] == "" {
		return -1, true
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	return int64(n), err == nil //nolint:gosec // it has 63 bits
}
