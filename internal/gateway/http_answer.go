package gateway

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// httpRedirect sends the clients of a route elsewhere (Traffic 205). Where that is, is
// never taken from path or query.
type httpRedirect struct {
	scheme, host string // empty: the request's
	port         uint32 // 0: that of the scheme where it is given, else the request's
	status       int    // 0: by the request's method
	rewrite      httproute.Rewrite
}

// serve implements httpAction.
func (a *httpRedirect) serve(_ context.Context, c *call, d *httpDownstream) proxy.Result {
	if a.host == "" && c.request.Authority() == "" {
		return proxy.Result{Err: httpError(http.StatusBadRequest, codes.InvalidArgument, "the request names no host, which the redirect would lead to")}
	}
	status := a.status
	switch {
	case status != 0:
	case c.r.Method == http.MethodGet, c.r.Method == http.MethodHead:
		status = http.StatusMovedPermanently
	default:
		status = http.StatusPermanentRedirect // 301 may become a GET (RFC 9110, 15.4.2)
	}
	h := c.w.Header()
	h["Location"] = []string{a.location(c)}
	c.route.guard.set.Answering(c.r.Context(), &c.request, status, 0)
	d.answer(status, nil)
	return proxy.Result{}
}

// location is where the request is sent.
func (a *httpRedirect) location(c *call) string {
	scheme, host := a.scheme, a.host
	name, port := field.Port(c.request.Authority())
	if scheme != "" {
		port = ""
	} else if scheme = "http"; c.request.Secure() {
		scheme = "https"
	}
	if a.port != 0 {
		port = strconv.FormatUint(uint64(a.port), 10)
	}
	if host == "" {
		host = name
	}
	var b strings.Builder
	b.WriteString(scheme + "://" + host)
	if port != "" && port != field.DefaultPort(scheme) {
		b.WriteString(":" + port)
	}
	b.WriteString(a.rewrite.Apply(c.match.clean))
	if query := c.r.URL.RawQuery; query != "" {
		b.WriteString("?" + query)
	}
	return b.String()
}

// explain implements httpAction.
func (a *httpRedirect) explain(row func(name, format string, args ...any), c *call) {
	row("redirect", "%s", a.location(c))
}

// httpRespond answers the clients of a route itself (Traffic 206).
type httpRespond struct {
	status int
	header http.Header
	body   []byte
}

// serve implements httpAction.
func (a *httpRespond) serve(_ context.Context, c *call, d *httpDownstream) proxy.Result {
	h := c.w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	size := int64(len(a.body))
	if c.r.Method == http.MethodHead {
		size = 0
	}
	c.route.guard.set.Answering(c.r.Context(), &c.request, a.status, size)
	d.answer(a.status, a.body)
	return proxy.Result{}
}

// explain implements httpAction.
func (a *httpRespond) explain(row func(name, format string, args ...any), _ *call) {
	row("answer", "%d with %d bytes", a.status, len(a.body))
}

// answer writes an answer of the gateway.
func (d *httpDownstream) answer(status int, body []byte) {
	d.answerLong(status, body, []string{strconv.Itoa(len(body))})
}

// answerLong writes an answer whose length stands in a line that is made already.
func (d *httpDownstream) answerLong(status int, body []byte, length []string) {
	w := d.x.W
	h := w.Header()
	if d.x.BeforeHeader != nil {
		d.x.BeforeHeader(h)
	}
	if status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified {
		h["Content-Length"] = length
	}
	w.WriteHeader(status)
	d.written = status
	if len(body) > 0 && d.x.R.Method != http.MethodHead {
		if len(body) >= exchange.LongAnswer {
			d.x.BoundWrite(len(body))
			defer d.x.UnboundWrite()
		}
		_, _ = w.Write(body) // a client that is gone reads no error either
	}
}
