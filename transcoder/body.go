package transcoder

import (
	"bytes"
	"io"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// ReadBody reads the whole body into raw, decompressed and bounded.
func (c *Call) ReadBody() error {
	limit := c.Binding.Method.Settings.MaxBody
	if c.X.R.ContentLength > limit && field.First(c.X.R.Header, "Content-Encoding") == "" {
		return exchange.TooLarge(limit)
	}
	if c.X.NoBody() {
		c.Raw = c.Raw[:0]
		return nil
	}
	encoding, err := compression.OfBody(c.X.Header(), c.X.R.Header, false)
	if err != nil {
		return err
	}
	reading := exchange.Watch(&c.X, c.Deadline)
	if encoding == nil {
		c.Raw, err = exchange.AppendAll(c.Raw[:0], c.X.R.Body, limit, c.X.R.ContentLength)
	} else {
		c.Scratch, err = exchange.AppendAll(c.Scratch[:0], c.X.R.Body, mostCompressed(limit), c.X.R.ContentLength)
	}
	if late := reading.Done(); late != nil {
		return late
	}
	if err == nil && encoding != nil {
		return c.Inflate(encoding, bytes.NewReader(c.Scratch))
	}
	c.closeAfter(err)
	return exchange.BodyError(err, limit)
}

// closeAfter ends the connection of a client of HTTP/1 whose body is broken: where the
// next request begins is not known (Semantics 312).
func (c *Call) closeAfter(err error) {
	if err != nil && err != exchange.ErrTooLarge && c.X.HTTP1() {
		c.X.CloseConnection()
	}
}

// Inflate reads a body into raw that has come whole: a client that sends no more
// must not hold a decompressor, whose window may have megabytes.
func (c *Call) Inflate(e *compression.Encoding, from io.Reader) error {
	limit := c.Binding.Method.Settings.MaxBody
	body, err := e.NewReader(from)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it has no error of its own
	c.Raw, err = exchange.AppendAll(c.Raw[:0], body, limit, 0)
	return exchange.BodyError(err, limit)
}

// mostCompressed bounds what inflates to at most limit bytes: what cannot be
// compressed becomes a little longer.
func mostCompressed(limit int64) int64 { return limit + limit/64 + 1<<10 }

// DropBody reads a body that nobody wants, within the bounds of one that somebody does:
// only behind the body does net/http see that a client of HTTP/1.1 goes away
// (Semantics 311).
func (c *Call) DropBody() error {
	if !c.X.HTTP1() || c.X.R.ContentLength == 0 || c.X.NoBody() {
		return nil
	}
	limit := c.Binding.Method.Settings.MaxBody
	reading := exchange.Watch(&c.X, c.Deadline)
	_, err := io.CopyN(io.Discard, c.X.R.Body, limit+1)
	if late := reading.Done(); late != nil {
		return late
	}
	switch err {
	case io.EOF:
		return nil
	case nil:
		return exchange.TooLarge(limit)
	default:
		c.closeAfter(err)
		return exchange.BodyError(err, limit)
	}
}
