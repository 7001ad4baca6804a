package httpbackend

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/textproto"

	"github.com/transom-gateway/transom/internal/field"
)

// ask makes the request by a connection of ours and waits for the header of the final
// answer. An old connection that was ended meanwhile is followed by another one where the
// server can have seen nothing of the request, or may see it twice (Traffic 80).
func (e *exchange) ask(ctx context.Context, at *place) (*http.Response, error) {
	r, err := e.head(at)
	if err != nil {
		return nil, err
	}
	alpn := anyHTTP
	if e.linked() {
		alpn = onlyHTTP1
	}
	e.watchContext(ctx)
	for {
		e.enter(toConnect)
		l, err := e.u.take(ctx, at, alpn)
		if err != nil {
			e.stopWatchingContext()
			return nil, err
		}
		l.attach(e)
		e.enter(toOpen)
		response, err := e.askBy(ctx, l, r)
		if err == nil {
			return response, nil
		}
		again := e.resends(ctx, l, r)
		e.lose(l)
		if !again {
			e.stopWatchingContext()
			return nil, err
		}
		e.result.Resent++
	}
}

// head makes the request without its body.
func (e *exchange) head(at *place) (*http.Request, error) {
	if len(e.Target) == 0 || e.Target[0] != '/' && e.Target != "*" {
		return nil, errTarget
	}
	if len(e.Target) > 1 && e.Target[1] == '/' {
		if _, ok := at.url(e.Target); !ok {
			return nil, errTarget
		}
	}
	r := &e.outgoing
	host := e.Host
	if host == "" {
		host = at.Authority
	}
	*r = http.Request{Method: e.method(), Host: hostLine(host), Header: e.requestHeader()}
	// What a server sends behind the header of an answer to HEAD would be taken for the
	// next answer on the connection.
	r.Close = r.Method == http.MethodHead
	e.frame(r)
	return r, sendable(r, e.Target)
}

// askBy makes the request by a connection.
func (e *exchange) askBy(ctx context.Context, l *link, r *http.Request) (*http.Response, error) {
	if err := ctx.Err(); err != nil { // its end may have come before the connection
		return nil, err
	}
	e.sending = nil
	l.ends = r.Close
	if err := l.writeRequest(r, e.Target); err != nil {
		return nil, err
	}
	e.send(l, r)
	response, err := e.readAnswer(l, r)
	if err != nil {
		return nil, err
	}
	l.left = math.MaxInt64
	l.ends = l.ends || response.Close || saysBody(response)
	e.sending.tell(false) // to read the body would have the client be told to send it
	switch {
	case len(e.asked) > 0 && isSwitch(response): // it has no body that would still be sent
		response.Body = &switched{e: e, link: l}
	case response.StatusCode == http.StatusSwitchingProtocols:
		e.stopWatchingContext()
		e.lose(l) // it says not to which protocol, or nobody has asked
	case response.Body == http.NoBody:
		e.finish(l)
	default:
		e.incoming = incoming{e: e, link: l, from: response.Body, left: response.ContentLength}
		response.Body = &e.incoming
	}
	return response, nil
}

// saysBody reports whether an answer that has no body says that it has one. A server that
// sends it, by mistake, would have it taken for the next answer.
func saysBody(response *http.Response) bool {
	if response.StatusCode != http.StatusNoContent && response.StatusCode != http.StatusNotModified {
		return false
	}
	length := response.Header["Content-Length"]
	return len(response.TransferEncoding) > 0 || len(length) > 0 && length[0] != "0"
}

// readAnswer reads the header of the final answer, and has informational ones passed on.
func (e *exchange) readAnswer(l *link, r *http.Request) (*http.Response, error) {
	for {
		l.left = maxAnswerHeader
		response, err := http.ReadResponse(l.in, r)
		if err != nil {
			if l.left <= 0 {
				return nil, errAnswerHeader
			}
			return nil, err
		}
		if response.StatusCode < 100 || response.StatusCode > 199 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
		if response.StatusCode == http.StatusContinue {
			e.sending.tell(true)
		}
		if err := e.inform(response.StatusCode, textproto.MIMEHeader(response.Header)); err != nil {
			return nil, err
		}
	}
}

// resends reports whether a request that a connection has failed is to be made by another
// one.
func (e *exchange) resends(ctx context.Context, l *link, r *http.Request) bool {
	switch {
	case !l.served || l.heard || ctx.Err() != nil || e.late.Load() != nil || e.body.err() != nil || e.taken():
		return false
	case !l.wrote:
		return true
	case !e.body.none():
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// finish ends the exchange with a connection whose answer was read. It waits for another
// one if it can carry it.
func (e *exchange) finish(l *link) {
	e.stopWatchingContext()
	if l.ends || l.in.Buffered() > 0 || !e.sentAll() {
		e.lose(l)
		return
	}
	if !l.detach() {
		l.close()
		return
	}
	l.served = true
	e.u.keepLink(l)
}

// lose ends the exchange with a connection that is of no use any more. Nobody reads the
// client's body for it when it returns.
func (e *exchange) lose(l *link) {
	l.close()
	if s := e.sending; s != nil {
		s.tell(false)
		select {
		case <-s.done:
		default:
			e.stopReader()
			<-s.done
		}
	}
	l.detach()
}

// stopWatchingContext ends watchContext.
func (e *exchange) stopWatchingContext() {
	if e.unwatchContext != nil {
		e.unwatchContext()
		e.unwatchContext = nil
	}
}

// incoming is the body of an answer.
type incoming struct {
	e    *exchange
	link *link // nil: it was read to its end, or is not read any further
	from io.Reader
	// left is how many bytes are still to come, where the answer says so and from is not
	// used; else negative.
	left int64
}

// Read implements io.Reader. At the end, the connection waits for another request.
func (i *incoming) Read(p []byte) (int, error) {
	if i.left > 0 && i.link != nil {
		n, err := i.link.in.Read(p[:min(int64(len(p)), i.left)])
		return n, i.came(int64(n), err)
	}
	n, err := i.from.Read(p)
	if err == io.EOF {
		i.end()
	}
	return n, err
}

// came notes bytes of a body whose length is known, and returns the error of reading them.
func (i *incoming) came(n int64, err error) error {
	i.left -= n
	switch {
	case i.left == 0:
		i.end()
		i.from = http.NoBody
		return io.EOF
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// end has the connection wait for another request.
func (i *incoming) end() {
	if l := i.link; l != nil {
		i.link = nil
		i.e.finish(l)
	}
}

// Close implements io.Closer: what was not read is not waited for.
func (i *incoming) Close() error {
	if l := i.link; l != nil {
		i.link = nil
		i.e.stopWatchingContext()
		i.e.lose(l)
	}
	return nil
}

// switched is a connection that changed to another protocol.
type switched struct {
	e    *exchange
	link *link
	free bool // the exchange has let it go
}

// release has the connection live on without the exchange.
func (s *switched) release() {
	s.free = true
	s.e.stopWatchingContext()
	s.link.detach()
}

// Read implements io.Reader.
func (s *switched) Read(p []byte) (int, error) {
	if buffered := s.link.in.Buffered(); buffered > 0 {
		return s.link.in.Read(p[:min(len(p), buffered)])
	}
	return s.link.conn.Read(p)
}

// Write implements io.Writer.
func (s *switched) Write(p []byte) (int, error) { return s.link.conn.Write(p) }

// CloseWrite ends our half of the connection.
func (s *switched) CloseWrite() error {
	if half, ok := s.link.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return s.link.conn.Close()
}

// Close implements io.Closer.
func (s *switched) Close() error {
	s.link.close()
	if !s.free {
		s.release()
	}
	return nil
}

// isSwitch reports whether an answer says that what follows is another protocol.
func isSwitch(response *http.Response) bool {
	return response.StatusCode == http.StatusSwitchingProtocols && field.HasToken(response.Header["Connection"], "upgrade")
}
