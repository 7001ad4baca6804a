package server

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// ofConnections are the fields that no message of HTTP/3 may have (RFC 9114, section 4.2).
var ofConnections = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"}

// dropUnsendable takes from a header, and from the trailer in it, what would make the whole answer malformed, which
// quic-go sends as it is. net/http does the same for HTTP/2. Values may be those of other answers, too.
func dropUnsendable(h http.Header) {
	for name, values := range h {
		if _, usual := lowerNames[name]; !usual && !sendable(strings.TrimPrefix(name, http.TrailerPrefix)) {
			delete(h, name)
			continue
		}
		if slices.ContainsFunc(values, unsendable) {
			h[name] = slices.DeleteFunc(slices.Clone(values), unsendable)
		}
	}
}

// sendable reports whether a field may be part of an answer, by its name.
func sendable(name string) bool {
	return httpguts.ValidHeaderFieldName(name) && !slices.ContainsFunc(ofConnections, func(of string) bool { return strings.EqualFold(of, name) })
}

// unsendable reports whether a value may not be that of a field.
func unsendable(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }
