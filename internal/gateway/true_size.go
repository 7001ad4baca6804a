package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// trueSize counts the bytes of a request's bodies on the level of HTTP, whatever the
// protocol makes of them (Semantics 321). It is part of a call's memory.
type trueSize struct {
	in  countedBody
	out countedWriter
}

// countedBody is a request's body. One goroutine may read while another asks.
type countedBody struct {
	io.ReadCloser
	n     atomic.Int64
	ended atomic.Bool
	guard *overload.Guard // nil: the body is read whatever the memory
}

// Read implements io.Reader.
func (b *countedBody) Read(p []byte) (int, error) {
	if b.guard != nil && b.n.Load() >= freely && b.guard.Full() {
		return 0, errShortBody
	}
	n, err := b.ReadCloser.Read(p)
	if now := b.n.Add(int64(n)); b.guard != nil && now > freely {
		b.guard.Read(min(int64(n), now-freely))
	}
	if err == io.EOF {
		b.ended.Store(true)
	}
	return n, err
}

// countedWriter is the front of a call.
type countedWriter struct {
	exchange.NetHTTP
	n       atomic.Int64
	head    bool         // the server drops the body
	conn    *countedConn // in place of the body; nil without an upgrade
	offered *countedBody // which the client asks about before it sends it; nil for none
}

var _ exchange.Front = (*countedWriter)(nil)

// WriteHeader implements http.ResponseWriter. A client that asks with Expect whether to
// send a body and is answered before its end may send the rest or not, so that nobody
// can say where its next request begins: the connection ends (Semantics 312). net/http
// does the same for the body it made itself, which this one hides; for another it waits
// with the answer until the body has come.
func (w *countedWriter) WriteHeader(status int) {
	if w.offered != nil && status >= http.StatusOK && !w.offered.ended.Load() {
		w.Header()["Connection"] = []string{"close"}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if !w.head {
		w.n.Add(int64(n))
	}
	return n, err
}

// ReadFrom implements io.ReaderFrom: what r reads from a connection may go to that of the
// client without passing through here.
func (w *countedWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, r)
	if !w.head {
		w.n.Add(n)
	}
	return n, err
}

// Hijack implements exchange.Front: the bytes of the connection are counted from then on.
func (w *countedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.NetHTTP.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.conn = &countedConn{Conn: conn}
	early, _ := rw.Peek(rw.Reader.Buffered()) // there are as many
	w.conn.in.Store(int64(len(early)))
	rw.Writer.Reset(w.conn) // it holds nothing yet
	return w.conn, rw, nil
}

// countedConn is what an upgrade made of the request. It may outlive the call.
type countedConn struct {
	net.Conn
	in, out atomic.Int64
}

// Read implements io.Reader.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Add(int64(n))
	return n, err
}

// Write implements io.Writer.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out.Add(int64(n))
	return n, err
}

// CloseWrite ends the server's half of the connection, where the connection has halves.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// begin has the request's bodies counted and returns the writer of its answer.
func (s *trueSize) begin(w http.ResponseWriter, r *http.Request) exchange.Front {
	s.out.ResponseWriter, s.out.head = w, r.Method == http.MethodHead
	if r.Body != nil && r.Body != http.NoBody {
		s.in.ReadCloser = r.Body
		r.Body = &s.in
		if r.ProtoMajor == 1 && r.Header["Expect"] != nil {
			s.out.offered = &s.in
		}
	}
	return &s.out
}

// unread reports whether a client of HTTP/1 may still be sending what nobody has read.
func (s *trueSize) unread(r *http.Request) bool {
	return s.in.ReadCloser != nil && r.ProtoMajor == 1 && !s.in.ended.Load() && (r.ContentLength < 0 || s.in.n.Load() < r.ContentLength)
}

// sizes are how many bytes came and went.
func (s *trueSize) sizes() (in, out int64) {
	if c := s.out.conn; c != nil {
		return c.in.Load(), c.out.Load()
	}
	return s.in.n.Load(), s.out.n.Load()
}

// reset drops what belonged to the request.
func (s *trueSize) reset() {
	s.in.guard = nil
	s.in.ReadCloser, s.out.ResponseWriter, s.out.conn, s.out.head, s.out.offered = nil, nil, nil, false, nil
	s.in.n.Store(0)
	s.in.ended.Store(false)
	s.out.n.Store(0)
}
