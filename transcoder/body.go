package transcoder

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readBody reads the whole body into raw, decompressed and bounded.
func (c *restCall) readBody() error {
	limit := c.binding.Method.Settings.MaxBody
	if c.x.R.ContentLength > limit && first(c.x.R.Header, "Content-Encoding") == "" {
		return tooLarge(limit)
	}
	if c.x.NoBody() {
		c.raw = c.raw[:0]
		return nil
	}
	encoding, err := contentEncoding(c.x.Header(), c.x.R.Header, false)
	if err != nil {
		return err
	}
	reading := watchReading(&c.x, c.deadline)
	if encoding == nil {
		c.raw, err = appendAll(c.raw[:0], c.x.R.Body, limit, c.x.R.ContentLength)
	} else {
		c.scratch, err = appendAll(c.scratch[:0], c.x.R.Body, mostCompressed(limit), c.x.R.ContentLength)
	}
	if late := reading.done(); late != nil {
		return late
	}
	if err == nil && encoding != nil {
		return c.inflate(encoding, bytes.NewReader(c.scratch))
	}
	c.closeAfter(err)
	return bodyError(err, limit)
}

// closeAfter ends the connection of a client of HTTP/1 whose body is broken: where the
// next request begins is not known (Semantics 312).
func (c *restCall) closeAfter(err error) {
	if err != nil && err != errTooLarge && c.x.HTTP1() {
		c.x.CloseConnection()
	}
}

// inflate reads a body into raw that has come whole: a client that sends no more
// must not hold a decompressor, whose window may have megabytes.
func (c *restCall) inflate(e *encoding, from io.Reader) error {
	limit := c.binding.Method.Settings.MaxBody
	body, err := e.newReader(from)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it has no error of its own
	c.raw, err = appendAll(c.raw[:0], body, limit, 0)
	return bodyError(err, limit)
}

// mostCompressed bounds what inflates to at most limit bytes: what cannot be
// compressed becomes a little longer.
func mostCompressed(limit int64) int64 { return limit + limit/64 + 1<<10 }

// dropBody reads a body that nobody wants, within the bounds of one that somebody does:
// only behind the body does net/http see that a client of HTTP/1.1 goes away
// (Semantics 311).
func (c *restCall) dropBody() error {
	if !c.x.HTTP1() || c.x.R.ContentLength == 0 || c.x.NoBody() {
		return nil
	}
	limit := c.binding.Method.Settings.MaxBody
	reading := watchReading(&c.x, c.deadline)
	_, err := io.CopyN(io.Discard, c.x.R.Body, limit+1)
	if late := reading.done(); late != nil {
		return late
	}
	switch err {
	case io.EOF:
		return nil
	case nil:
		return tooLarge(limit)
	default:
		c.closeAfter(err)
		return bodyError(err, limit)
	}
}

// errTooLarge is returned by appendAll and by the guard of a WebSocket's frames.
var errTooLarge = errors.New("too large")

// appendAll reads r to its end, at most limit bytes. expected is a hint of how
// many there are; it comes from the client and buys no more memory than a
// small buffer.
func appendAll(dst []byte, r io.Reader, limit, expected int64) ([]byte, error) {
	if expected > int64(cap(dst)) && expected <= min(limit, maxKept) {
		dst = make([]byte, 0, expected+1)
	}
	for {
		if len(dst) == cap(dst) {
			// Doubled: append would grow it in many more steps, and leave all of them
			// to the collector.
			more := min(int64(max(len(dst), firstRead)), limit+1-int64(len(dst)))
			dst = append(make([]byte, 0, int64(len(dst))+more), dst...)
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if int64(len(dst)) > limit {
			return dst, errTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

func tooLarge(limit int64) error {
	return NewStatusError(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
		"the body is larger than %d bytes", limit)
}

// bodyError says in gRPC's terms why a body could not be read.
func bodyError(err error, limit int64) error {
	if err == nil {
		return nil
	}
	var own *StatusError
	var maxBytes *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return err
	case errors.Is(err, errTooLarge), errors.As(err, &maxBytes):
		return tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "the body did not arrive in time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("the body ended before it was complete")
	case isMisframed(err):
		return badRequest(misframed)
	}
	return status.Error(codes.Canceled, "the client went away while its body was read")
}

const misframed = "the body is not framed as HTTP wants: not as long as its Content-Length, or chunked wrongly"

// isMisframed reports whether what arrived of a body is not what its framing says.
// net/http has no types for that, only words: two for a length over HTTP/2, some
// seven for chunks and trailers.
func isMisframed(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "request declared a Content-Length of ") ||
		strings.HasPrefix(text, "sender tried to send more than declared Content-Length of ") ||
		strings.Contains(text, "chunk") || strings.Contains(text, "trailer") || errors.Is(err, http.ErrLineTooLong)
}
