package transcoder

import (
	"bytes"
	"io"
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
