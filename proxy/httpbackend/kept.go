package httpbackend

import (
	"maps"
	"net/http"
)

// WriteAnswer writes the head of an answer that somebody else keeps, and whose slices are
// shared. without are fields that it does not have.
func (x *Exchange) WriteAnswer(status int, server string, header http.Header, without []string) {
	h := x.W.Header()
	own := h["X-Request-Id"] // the one of the gateway's log
	maps.Copy(h, header)
	if own != nil {
		h["X-Request-Id"] = own
	}
	for _, name := range without {
		delete(h, name)
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http would guess
	}
	if x.Answer != nil {
		x.Answer(status, server, h)
	}
	x.W.WriteHeader(status)
}

// Inform writes an informational answer, and keeps what its header holds for the final one.
func (x *Exchange) Inform(status int, header http.Header) {
	h := x.W.Header()
	kept := h.Clone()
	clear(h)
	maps.Copy(h, header)
	x.W.WriteHeader(status)
	clear(h)
	maps.Copy(h, kept)
}
