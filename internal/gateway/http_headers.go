package gateway

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/httproute"
)

// toServer makes of the client's header, without what is between it and the gateway, the
// one that a plain HTTP server gets: without what only the gateway may say,
// then what the policies change, then who the request was forwarded for.
func (c *call) toServer(h http.Header) {
	for name := range h {
		if reserved(name) {
			delete(h, name)
		}
	}
	if cookies := h["Cookie"]; len(cookies) > 0 && len(c.snapshot.hiddenCookies) > 0 {
		hideCookies(h, c.snapshot.hiddenCookies)
	}
	for _, dropped := range c.request.Dropped {
		for name := range h {
			if field.Same(name, dropped) {
				delete(h, name)
			}
		}
	}
	for i := 0; i+1 < len(c.request.Metadata); i += 2 {
		name := textproto.CanonicalMIMEHeaderKey(c.request.Metadata[i])
		h[name] = append(h[name], c.request.Metadata[i+1])
	}
	c.origin.write(h, c.snapshot.rfc7239)
	if said := clientCert(&c.request, c.snapshot.clientCert); said != "" {
		h[clientCertHeader] = []string{said}
	}
	h["X-Request-Id"] = c.w.Header()["X-Request-Id"]
}

// reserved reports whether a header of a client, by its canonical name, is one that only
// the gateway may say to a server, in any spelling that a server may take for it
// (Semantics 52, 305).
func reserved(name string) bool {
	switch name[0] {
	case 'X':
		if strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Real-") || strings.HasPrefix(name, "X-Transom-") {
			return true
		}
	case 'F':
		if name == "Forwarded" {
			return true
		}
	case 'G':
		return field.Reserved(name) // a server behind may be a gateway, too
	}
	return strings.ContainsAny(name, "_.") && field.Reserved(name)
}

// hideCookies takes the gateway's own credentials away (Semantics 306).
func hideCookies(h http.Header, hidden []string) {
	var kept []string
	for _, value := range h["Cookie"] {
		if value = field.WithoutCookies(value, hidden); value != "" {
			kept = append(kept, value)
		}
	}
	if delete(h, "Cookie"); kept != nil {
		h["Cookie"] = kept
	}
}

// toClient changes the header of a server's answer, whose authority is given.
func (c *call) toClient(httpStatus int, server string, h http.Header) {
	e, ok := c.route.endpoint.(*httpEndpoint)
	if !ok {
		return // no other has a server of plain HTTP
	}
	if f, ok := e.action.(*httpForward); ok && f.mapsBack {
		f.rewrite.MapBack(h, httproute.Seen{Server: server, Sent: f.hostFor(c), Scheme: c.origin.scheme, Host: c.origin.host})
	}
	if c.route.guard.changesHeader {
		c.beforeHeader(h)
	}
	c.route.guard.set.Answering(c.r.Context(), &c.request, httpStatus, c.bodyLength(httpStatus, h))
}

// bodyLength is how long the body of an answer with a header is, -1 where that does not tell.
func (c *call) bodyLength(httpStatus int, h http.Header) int64 {
	if c.r.Method == http.MethodHead || httpStatus == http.StatusNotModified || httpStatus == http.StatusNoContent {
		return 0
	}
	n, err := strconv.ParseInt(field.First(h, "Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
