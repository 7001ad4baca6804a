package exchange

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// What follows is all that the edges know of net/http's peculiarities.

// NetHTTP is the Front of net/http's server, and of any ResponseWriter whose methods are
// found by http.ResponseController.
type NetHTTP struct{ http.ResponseWriter }

var _ Front = (*NetHTTP)(nil)

// FrontOf is w itself, if it is a Front, and otherwise a NetHTTP of it.
func FrontOf(w http.ResponseWriter) Front {
	if f, ok := w.(Front); ok {
		return f
	}
	return &NetHTTP{w}
}

// Unwrap is for http.ResponseController.
func (n *NetHTTP) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (n *NetHTTP) control() *http.ResponseController {
	return http.NewResponseController(n.ResponseWriter)
}

// FlushError implements Front.
func (n *NetHTTP) FlushError() error { return n.control().Flush() }

// SetReadDeadline implements Front.
func (n *NetHTTP) SetReadDeadline(t time.Time) error { return n.control().SetReadDeadline(t) }

// SetWriteDeadline implements Front.
func (n *NetHTTP) SetWriteDeadline(t time.Time) error { return n.control().SetWriteDeadline(t) }

// EnableFullDuplex implements Front.
func (n *NetHTTP) EnableFullDuplex() error { return n.control().EnableFullDuplex() }

// Hijack implements Front.
func (n *NetHTTP) Hijack() (net.Conn, *bufio.ReadWriter, error) { return n.control().Hijack() }

// Header is the header of the answer, until it is written.
func (x *Exchange) Header() http.Header { return x.W.Header() }

// Announce calls BeforeHeader, if there is one.
func (x *Exchange) Announce() {
	if x.BeforeHeader != nil {
		x.BeforeHeader(x.W.Header())
	}
}

// WriteHeader writes the header of the answer.
func (x *Exchange) WriteHeader(httpStatus int) { x.W.WriteHeader(httpStatus) }

// Write implements io.Writer: it writes a piece of the answer's body.
func (x *Exchange) Write(p []byte) (int, error) { return x.W.Write(p) }

// Flush sends the client what was written.
func (x *Exchange) Flush() error { return x.W.FlushError() }

// HTTP1 reports whether the request came over HTTP/1.0 or HTTP/1.1, whose connection
// carries one request after the other: what is left of the body stands before the next.
func (x *Exchange) HTTP1() bool { return x.R.ProtoMajor == 1 }

// HTTP10 reports whether the request came over a version of HTTP before 1.1.
func (x *Exchange) HTTP10() bool { return !x.R.ProtoAtLeast(1, 1) }

// Multiplexed reports whether the request is one stream of many on its connection, as in
// HTTP/2: deadlines then are the stream's, and one that passes resets it.
func (x *Exchange) Multiplexed() bool { return x.R.ProtoMajor > 1 }

// NoBody reports whether the request is known to have no body.
func (x *Exchange) NoBody() bool { return x.R.Body == nil || x.R.Body == http.NoBody }

// CloseConnection has the server close the connection of HTTP/1 behind the answer. It is
// called before the header is written.
func (x *Exchange) CloseConnection() { x.W.Header()["Connection"] = []string{"close"} }

// FullDuplex lets an answer over HTTP/1.1 begin before the request has ended. It reports
// whether it can; otherwise the answer waits for the whole body.
func (x *Exchange) FullDuplex() bool { return x.W.EnableFullDuplex() == nil }

// SetReadDeadline bounds the reading of the request's body. Only recorders do not support
// it, which do not block.
func (x *Exchange) SetReadDeadline(t time.Time) error { return x.W.SetReadDeadline(t) }

// InterruptRead makes a read of the body that waits fail, and all that follow. It may be
// called beside them.
func (x *Exchange) InterruptRead() { _ = x.SetReadDeadline(time.Unix(1, 0)) }

// SetWriteDeadline bounds the writing of the answer; zero takes the bound off. Where it
// is not supported, the server's own holds.
func (x *Exchange) SetWriteDeadline(t time.Time) error { return x.W.SetWriteDeadline(t) }

// BoundWrite gives a client WriteTimeout, and a second for each 64 KiB, to read an answer of that size.
func (x *Exchange) BoundWrite(size int) {
	_ = x.SetWriteDeadline(time.Now().Add(WriteTimeout + time.Duration(size>>16)*time.Second))
}

// UnboundWrite takes the bound off once the answer is written. Over HTTP/2 it is the stream's, whose last bytes
// the server writes later.
func (x *Exchange) UnboundWrite() {
	if x.HTTP1() {
		_ = x.SetWriteDeadline(time.Time{})
	}
}

// InterruptWrite makes a write that waits for the client fail, and all that follow. It
// may be called beside them.
func (x *Exchange) InterruptWrite() { _ = x.SetWriteDeadline(time.Unix(1, 0)) }

// Abort ends the handler of a call whose answer was broken off, so that the client cannot
// take what it has for the whole. It does not return.
func (x *Exchange) Abort() { panic(http.ErrAbortHandler) }

// TrailerPrefix stands before the names, in the answer's header, of what follows the body
// as its trailer.
const TrailerPrefix = http.TrailerPrefix

// ServerLimit reports whether a body could not be read as it is larger than the server
// lets through, which is the limit in bytes.
func ServerLimit(err error) (limit int64, ok bool) {
	var maxBytes *http.MaxBytesError
	if errors.As(err, &maxBytes) {
		return maxBytes.Limit, true
	}
	return 0, false
}

// Misframed is what the client is told whose body IsMisframed.
const Misframed = "the body is not framed as HTTP wants: not as long as its Content-Length, or chunked wrongly"

// IsMisframed reports whether what arrived of a body is not what its framing says.
// net/http has no types for that, only words: two for a length over HTTP/2, some
// seven for chunks and trailers.
func IsMisframed(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "request declared a Content-Length of ") ||
		strings.HasPrefix(text, "sender tried to send more than declared Content-Length of ") ||
		strings.Contains(text, "chunk") || strings.Contains(text, "trailer") || errors.Is(err, http.ErrLineTooLong)
}
