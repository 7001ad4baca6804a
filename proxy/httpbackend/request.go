package httpbackend

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
)

// chunked has net/http frame a body so without looking at its first byte before, which
// it does for methods that rarely have one.
var chunked = []string{"chunked"}

// empty has net/http say Content-Length: 0 where it would not of itself.
var empty = []string{"identity"}

// roundTrip sends the request and waits for the header of the final answer. Whether a
// server of TLS speaks HTTP/2 shows when a connection is made.
func (e *exchange) roundTrip(ctx context.Context, server Server) (*http.Response, error) {
	at := e.u.place(server)
	if !e.linked() && !at.http1.Load() {
		response, err := e.transport(ctx, at)
		if !errors.Is(err, errHTTP1) {
			return response, err
		}
	}
	response, err := e.ask(ctx, at)
	if errors.Is(err, errHTTP2) {
		return e.transport(ctx, at)
	}
	return response, err
}

// transport is roundTrip by net/http's Transport.
func (e *exchange) transport(ctx context.Context, at *place) (*http.Response, error) {
	r, err := e.request(ctx, at)
	if err != nil {
		return nil, err
	}
	e.connections.Store(0)
	response, err := e.u.transport.RoundTrip(r)
	e.result.Resent += max(0, int(e.connections.Load())-1)
	return response, err
}

// connected is told of a connection that the request goes by.
func (e *exchange) connected(httptrace.GotConnInfo) {
	e.connections.Add(1)
	e.enter(toOpen)
}

// request makes the request for a server.
func (e *exchange) request(ctx context.Context, at *place) (*http.Request, error) {
	u, ok := at.url(e.Target)
	if !ok {
		return nil, errTarget
	}
	host := e.Host
	if host == "" {
		host = at.Authority
	}
	r := http.Request{
		Method: e.method(), URL: u, Host: host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: e.requestHeader(),
	}
	e.frame(&r)
	if e.trace.GotConn == nil {
		e.trace = httptrace.ClientTrace{Got1xxResponse: e.inform, GotConn: e.connected}
	}
	return r.WithContext(httptrace.WithClientTrace(ctx, &e.trace)), nil
}

// method is that of the request: a WebSocket over HTTP/1.1 is opened by GET.
func (e *exchange) method() string {
	if e.tunnel {
		return http.MethodGet
	}
	return e.R.Method
}

// frame gives the request the body as the client framed it.
func (e *exchange) frame(r *http.Request) {
	switch length := e.R.ContentLength; {
	case e.body.none():
		if field := e.R.Header["Content-Length"]; len(field) == 1 && field[0] == "0" {
			r.TransferEncoding, r.Body = empty, http.NoBody
		}
		return
	case length < 0:
		r.ContentLength, r.TransferEncoding = -1, chunked
		if e.replay == nil {
			r.Trailer = e.body.trailers()
		}
	default:
		r.ContentLength = length
		if e.R.ProtoMajor > 1 && len(e.R.Trailer) > 0 {
			// HTTP/2 has trailers behind a body of known length, HTTP/1.1 has not.
			r.ContentLength, r.TransferEncoding = -1, chunked
			r.Trailer = e.body.trailers()
		}
	}
	r.Body = e.sends()
}

// sends returns the body for an attempt.
func (e *exchange) sends() io.ReadCloser {
	if e.replay == nil {
		return &e.body
	}
	reader := e.replay.reader()
	e.reader.Store(reader)
	return reader
}

// url is the URL of a target at the server. net/http sends an opaque one as it stands,
// unless it begins with two slashes.
func (p *place) url(target string) (*url.URL, bool) {
	u := &url.URL{Scheme: p.scheme, Host: p.host, Opaque: target}
	if !strings.HasPrefix(target, "//") {
		return u, strings.HasPrefix(target, "/") || target == "*"
	}
	path, query, asked := strings.Cut(target, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, false
	}
	u.Opaque, u.Path, u.RawPath, u.RawQuery, u.ForceQuery = "", plain, path, query, asked
	return u, u.RequestURI() == target
}

// maxInformed bounds the informational answers of one exchange.
const maxInformed = 64

// inform passes an informational answer on. It is called beside Forward.
func (e *exchange) inform(status int, h textproto.MIMEHeader) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.informed++; e.informed > maxInformed {
		return errInformed
	}
	if status == http.StatusSwitchingProtocols {
		return errUpgrade // HTTP/2 has none; net/http would write it as the final answer
	}
	e.move()
	if e.opened || !e.R.ProtoAtLeast(1, 1) || status == http.StatusContinue && e.body.sends100() {
		return nil // for HTTP/1.0 there are none; 100 is written when the body is read
	}
	header := e.W.Header()
	kept := make(http.Header, len(header))
	for name, values := range header {
		kept[name] = values
	}
	clear(header)
	copyAnswer(header, http.Header(h))
	delete(header, "Content-Length") // none of an informational answer's is one of a body
	// By HTTP/2, net/http returns when the stream was reset, and reads the header all the
	// same; where there is a field that no such answer has, it reads a copy.
	header["Transfer-Encoding"] = nil
	e.writing.Store(true) // it is flushed
	e.W.WriteHeader(status)
	e.writing.Store(false)
	e.move()
	clear(header)
	for name, values := range kept {
		header[name] = values
	}
	return nil
}
