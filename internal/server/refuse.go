package server

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/http1head"
)

// headOptions have a gateway answer the requests whose heads are bad.
func headOptions(g *gateway.Gateway) http1head.Options {
	return http1head.Options{
		MaxHead: maxHeaderBytes,
		Answer: func(c net.Conn, refusal http1head.Refusal) []byte {
			w := &rawAnswer{header: http.Header{}, status: refusal.Status}
			g.Refuse(w, refusedRequest(c, refusal), refusal.Status, refusal.Message)
			return w.bytes()
		},
	}
}

// refusedRequest is what is known of a request whose head was bad.
func refusedRequest(c net.Conn, refusal http1head.Refusal) *http.Request {
	path, _, _ := strings.Cut(refusal.Target, "?")
	r := &http.Request{
		Method: refusal.Method, URL: &url.URL{Path: path}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, RemoteAddr: c.RemoteAddr().String(), RequestURI: refusal.Target,
	}
	for name, value := range map[string]string{
		"Content-Type": refusal.ContentType, "X-Request-Id": refusal.RequestID, "Connect-Protocol-Version": refusal.Connect,
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return r.WithContext(context.Background()) // the connection is at its end
}

// rawAnswer is an answer that is written without net/http's server. Its status is
// fixed.
type rawAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

var _ http.ResponseWriter = (*rawAnswer)(nil)

// Header implements http.ResponseWriter.
func (a *rawAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *rawAnswer) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (a *rawAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }

// bytes are the whole answer.
func (a *rawAnswer) bytes() []byte {
	a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
	a.header.Set("Connection", "close")
	var out bytes.Buffer
	out.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status) + "\r\n")
	_ = a.header.Write(&out) // a buffer takes all
	out.WriteString("\r\n")
	out.Write(a.body.Bytes())
	return out.Bytes()
}
