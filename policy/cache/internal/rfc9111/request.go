package rfc9111

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/httproute"
)

// Apart reports whether a request is one whose answer is for nobody else: with a body, for a
// part, on a condition that is not the cache's to judge, for another protocol, or for another method
// or path than its own, which some servers take from a header.
func Apart(r *http.Request) bool {
	if r.ContentLength != 0 {
		return true
	}
	for _, name := range [...]string{
		"Range", "If-Range", "If-Match", "If-Unmodified-Since", "Upgrade",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url",
	} {
		if len(r.Header[name]) > 0 {
			return true
		}
	}
	return false
}

// AppendOrigin appends the beginning of a URI: its scheme and its authority, without the port
// that is the scheme's own.
func AppendOrigin(b []byte, scheme, authority string) []byte {
	b = append(append(b, scheme...), "://"...)
	return append(b, field.WithoutDefaultPort(scheme, strings.ToLower(authority))...)
}

// Resolve is the URI that a reference means to a reader of another one, as keys have it; ""
// for one of another origin.
func Resolve(from, reference string) string {
	base, err := url.Parse(from)
	if err != nil {
		return ""
	}
	u, err := base.Parse(reference)
	if err != nil || u.Scheme != base.Scheme {
		return ""
	}
	path, _, why := httproute.Clean(cmp.Or(u.EscapedPath(), "/"))
	if why != nil {
		return ""
	}
	if u.ForceQuery || u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	origin := string(AppendOrigin(nil, u.Scheme, u.Host))
	if !strings.HasPrefix(from, origin+"/") {
		return ""
	}
	return origin + path
}

// Length is what Content-Length says, -1 for nothing.
func Length(h http.Header) int64 {
	said := h["Content-Length"]
	if len(said) != 1 {
		return -1
	}
	length, err := strconv.ParseInt(said[0], 10, 64)
	if err != nil {
		return -1
	}
	return length
}

// Named lists a URI, as keys have it, and those of the same origin that an answer to a request
// for it names: what such an answer says was changed may have changed there (RFC 9111 4.4).
func Named(uri string, h http.Header) []string {
	all := []string{uri}
	for _, name := range [...]string{"Location", "Content-Location"} {
		if lines := h[name]; len(lines) > 0 {
			if other := Resolve(uri, lines[0]); other != "" {
				all = append(all, other)
			}
		}
	}
	return all
}

// Unsure reports whether an answer is that of a server which does not know what became of the
// request: it waited in vain for another one.
func Unsure(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// Unsaid are the fields of an answer that its 304 does not have (RFC 9110 15.4.5).
var Unsaid = []string{
	"Content-Length", "Transfer-Encoding", "Content-Type", "Content-Encoding", "Content-Language", "Content-Range", "Trailer",
}
