package httpbackend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
)

// Copy is a request for a server whose answer nobody reads (Traffic 208). It shares nothing
// with the request that it is a copy of.
type Copy struct {
	Method, Target, Host string
	// Header is all that is end to end, credentials of the upstream's own included.
	Header http.Header
	// Body is complete.
	Body []byte
}

// Copied makes a copy, still without a body, of a request that is about to be made at
// another upstream, for the servers of this one. It is nil where the request would be
// refused, or is an upgrade.
func (u *Upstream) Copied(x *Exchange) *Copy {
	e := &exchange{Exchange: x, u: u}
	if len(x.R.Header["Upgrade"]) > 0 || x.R.Method == http.MethodConnect || e.refusal() != nil {
		return nil
	}
	c := &Copy{Method: x.R.Method, Target: x.Target, Host: x.Host, Header: e.requestHeader().Clone()}
	delete(c.Header, "Expect")
	return c
}

// errUnread is why no more is read of an answer to a copy.
var errUnread = errors.New("nobody reads the rest")

// Send sends a copy once and reads, of the answer, as many bytes as are allowed. It reports
// whether a server has answered.
func (u *Upstream) Send(ctx context.Context, c *Copy, most int) bool {
	r := &http.Request{Method: c.Method, Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{}, Body: http.NoBody, ContentLength: int64(len(c.Body))}
	if len(c.Body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(c.Body))
	}
	result := u.Forward(ctx, &Exchange{
		W: &unread{header: http.Header{}, left: most}, R: r,
		Target: c.Target, Host: c.Host,
		Header: func(h http.Header) {
			clear(h)
			maps.Copy(h, c.Header)
		},
	})
	return result.Status != 0
}

// unread is where answers go that nobody reads.
type unread struct {
	header http.Header
	left   int
}

var _ http.ResponseWriter = (*unread)(nil)

// Header implements http.ResponseWriter.
func (w *unread) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *unread) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (w *unread) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errUnread
	}
	return len(p), nil
}
