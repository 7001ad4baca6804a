package httpbackend

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
)

// writeRequest writes the header of a request, which is checked here: what would end a
// line or a message early never reaches a server.
func (l *link) writeRequest(r *http.Request, target string) error {
	w := l.out
	_, _ = w.WriteString(r.Method) // what cannot be written, Flush says
	_ = w.WriteByte(' ')
	_, _ = w.WriteString(target)
	_, _ = w.WriteString(" HTTP/1.1\r\n")
	l.writeField("Host", r.Host)
	if r.Close && len(r.Header["Connection"]) == 0 {
		l.writeField("Connection", "close")
	}
	for name, values := range r.Header {
		for _, value := range values {
			l.writeField(name, value)
		}
	}
	l.writeFraming(r)
	_, _ = w.WriteString("\r\n")
	return w.Flush()
}

// writeField writes a line of a header.
func (l *link) writeField(name, value string) {
	w := l.out
	_, _ = w.WriteString(name) // as above
	_, _ = w.WriteString(": ")
	_, _ = w.WriteString(strings.Trim(value, " \t"))
	_, _ = w.WriteString("\r\n")
}

// writeFraming says how the body is framed.
func (l *link) writeFraming(r *http.Request) {
	switch {
	case r.ContentLength > 0:
		l.writeField("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	case r.ContentLength < 0:
		l.writeField("Transfer-Encoding", "chunked")
		if len(r.Trailer) > 0 {
			names := make([]string, 0, len(r.Trailer))
			for name := range r.Trailer {
				names = append(names, name)
			}
			l.writeField("Trailer", strings.Join(names, ","))
		}
	case saysEmpty(r):
		l.writeField("Content-Length", "0")
	}
}

// saysEmpty reports whether a request without a body says that it has none.
func saysEmpty(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	case http.MethodGet, http.MethodHead:
		return false
	}
	return len(r.TransferEncoding) > 0
}

// sendable says why a request cannot be sent; nil where it can.
func sendable(r *http.Request, target string) error {
	if !httpguts.ValidHeaderFieldName(r.Method) || r.Method == http.MethodConnect {
		return errUnsendable("the method " + strconv.Quote(r.Method))
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] == 0x7f {
			return errTarget
		}
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return errUnsendable("a header named " + strconv.Quote(name))
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return errUnsendable("the value of the header " + name)
			}
		}
	}
	return nil
}

// errUnsendable is the refusal of a request that no server could read.
func errUnsendable(what string) error {
	return &Error{code: codes.InvalidArgument, http: http.StatusBadRequest, text: what + " cannot be sent to a server"}
}

// hostLine is a host as a server gets it: in ASCII, without the zone of an address.
func hostLine(host string) string {
	for i := range len(host) {
		if host[i] >= 0x80 {
			host, _ = httpguts.PunycodeHostPort(host) // an invalid one is left out below
			break
		}
	}
	if !httpguts.ValidHostHeader(host) {
		return ""
	}
	if strings.HasPrefix(host, "[") {
		if end := strings.LastIndexByte(host, ']'); end > 0 {
			if zone := strings.LastIndexByte(host[:end], '%'); zone > 0 {
				return host[:zone] + host[end:]
			}
		}
	}
	return host
}

// sending is the sending of a body, beside the answer.
type sending struct {
	e         *exchange
	link      *link
	body      io.Reader
	length    int64 // -1: it is chunked
	trailer   http.Header
	continues chan bool // says whether the server wants it; nil: it was not asked
	wait      time.Duration
	done      chan struct{}
	whole     bool // all of it was written; to be read after done
}

var errLength = errors.New("httpbackend: the body is not as long as its Content-Length")

// send begins to send the body of a request.
func (e *exchange) send(l *link, r *http.Request) {
	e.sending = nil
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	s := &sending{e: e, link: l, body: r.Body, length: r.ContentLength, trailer: r.Trailer, done: make(chan struct{})}
	if field.HasToken(r.Header["Expect"], "100-continue") {
		s.continues, s.wait = make(chan bool, 1), e.u.times.Continue
	}
	e.sending = s
	go s.run()
}

// run sends the body. Where the client is at fault the exchange is broken off; where the
// server does not take it, it may have answered, which reading shows.
func (s *sending) run() {
	defer close(s.done)
	if !s.wanted() {
		return
	}
	buffer, ok := buffers.Get().(*[bufferSize]byte)
	if !ok {
		return // the pool holds nothing else
	}
	defer buffers.Put(buffer)
	err := s.copy(buffer)
	s.whole = err == nil
	var failed *writeError
	if err != nil && !errors.As(err, &failed) {
		s.link.interrupt(s.e)
	}
}

// writeError is why a server does not take a body.
type writeError struct{ error }

// wanted waits until the server says whether it wants the body, for so long.
func (s *sending) wanted() bool {
	if s.continues == nil {
		return true
	}
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case wanted := <-s.continues:
		return wanted
	case <-timer.C:
		return true
	}
}

// tell says whether the server wants the body, the first time.
func (s *sending) tell(wanted bool) {
	if s == nil || s.continues == nil {
		return
	}
	select {
	case s.continues <- wanted:
	default:
	}
}

// Before and behind a piece there is room in the buffer for the framing of a chunk.
const chunkRoom, chunkEnd = 8, 2

// copy sends what there is as it comes.
func (s *sending) copy(buffer *[bufferSize]byte) error {
	left := s.length
	for {
		n, err := s.body.Read(buffer[chunkRoom : bufferSize-chunkEnd])
		piece := buffer[chunkRoom : chunkRoom+n]
		switch {
		case n == 0:
		case s.length < 0:
			piece = chunk(buffer, n)
		case int64(n) > left:
			return errLength
		default:
			left -= int64(n)
		}
		if n > 0 {
			if _, err := s.link.Write(piece); err != nil {
				return &writeError{err}
			}
		}
		switch {
		case err == io.EOF && s.length < 0:
			return s.end()
		case err == io.EOF && left > 0:
			return errLength
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// chunk frames a piece that stands in a buffer behind the room for its size.
func chunk(buffer *[bufferSize]byte, n int) []byte {
	var size [chunkRoom]byte
	line := append(strconv.AppendInt(size[:0], int64(n), 16), '\r', '\n')
	begin := chunkRoom - len(line)
	copy(buffer[begin:], line)
	buffer[chunkRoom+n], buffer[chunkRoom+n+1] = '\r', '\n'
	return buffer[begin : chunkRoom+n+chunkEnd]
}

// end sends the last chunk and the trailer.
func (s *sending) end() error {
	_, _ = s.link.out.WriteString("0\r\n") // what cannot be written, Flush says
	for name, values := range s.trailer {
		for _, value := range values {
			s.link.writeField(name, value)
		}
	}
	_, _ = s.link.out.WriteString("\r\n")
	if err := s.link.out.Flush(); err != nil {
		return &writeError{err}
	}
	return nil
}

// sentTime is how long the end of a body whose client has sent all of it may take when
// the answer is complete.
const sentTime = 50 * time.Millisecond

// sentAll reports whether the server has the whole request. One whose answer was complete
// before does not get the rest.
func (e *exchange) sentAll() bool {
	s := e.sending
	if s == nil {
		return true
	}
	select {
	case <-s.done:
		return s.whole
	default:
	}
	if !e.body.done.Load() {
		return false
	}
	timer := time.NewTimer(sentTime)
	defer timer.Stop()
	select {
	case <-s.done:
		return s.whole
	case <-timer.C:
		return false
	}
}

// watchContext has the exchange broken off with its context.
func (e *exchange) watchContext(ctx context.Context) {
	if ctx.Done() != nil {
		e.unwatchContext = context.AfterFunc(ctx, e.interrupted)
	}
}
