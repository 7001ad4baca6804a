package rfc9111

import (
	"net/http"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/internal/entitytag"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

// validators are what an answer is compared by.
func validators(h http.Header) (etag, modified string) {
	if tags := h["Etag"]; len(tags) == 1 {
		etag = tags[0]
	}
	if lines := h["Last-Modified"]; len(lines) == 1 && !cachecontrol.Date(lines).IsZero() {
		modified = lines[0]
	}
	return etag, modified
}

// Condition adds to a request what asks the server whether an answer still holds, and
// reports whether there is anything to ask by (RFC 9111 4.3.1).
func (k *Kept) Condition(h http.Header) bool {
	etag, modified := validators(k.Header)
	if etag != "" {
		h["If-None-Match"] = []string{etag}
	}
	if modified != "" {
		h["If-Modified-Since"] = []string{modified}
	}
	return etag != "" || modified != ""
}

// Unconditioned takes from a request what Condition adds.
func Unconditioned(h http.Header) {
	delete(h, "If-None-Match")
	delete(h, "If-Modified-Since")
}

// Meant reports whether a 304 is about the answer (RFC 9111 4.3.4): one that has another
// validator is about something that is not here.
func (k *Kept) Meant(h http.Header) bool {
	etag, modified := validators(h)
	ownTag, ownModified := validators(k.Header)
	switch {
	case etag != "":
		return strings.TrimPrefix(etag, "W/") == strings.TrimPrefix(ownTag, "W/")
	case modified != "":
		return modified == ownModified
	}
	return true
}

// unchanged are the fields of which a 304 says nothing (RFC 9111 3.2).
var unchanged = []string{"Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Transfer-Encoding", "Trailer"}

// updated is the head of an answer that a 304 has found to hold: the fields of the 304 in
// place of its own.
func (k *Kept) updated(h *Head) *Head {
	header := make(http.Header, len(k.Header))
	for name, values := range k.Header {
		header[name] = values
	}
	delete(header, "Date") // that of the answer says nothing of the 304
	for name, values := range h.Header {
		if !slices.Contains(unchanged, name) {
			header[name] = values
		}
	}
	return &Head{Status: k.Status, Server: k.Server, Header: header, Sent: h.Sent, Came: h.Came}
}

// Renew makes of an answer that a 304 has found to hold a fresh one. kept is false for one
// that is not to be kept from now on, and is for those who wait alone.
func (r *Rule) Renew(k *Kept, h *Head, c sharing.Caller) (fresh *Kept, kept bool) {
	of := k.updated(h)
	if fresh = r.Judge(of, c); fresh == nil {
		return Once(of), false
	}
	kept = true
	for _, name := range fresh.Vary { // its key has what it was found by
		kept = kept && slices.Contains(k.Vary, name)
	}
	fresh.Vary = k.Vary
	return fresh, kept
}

// NotModified reports whether a client has an answer already that has a status and a header
// (RFC 9111 4.3.2, Traffic 122).
func NotModified(r *http.Request, status int, header http.Header) bool {
	if status != http.StatusOK || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	etag, modified := validators(header)
	if lines := r.Header["If-None-Match"]; len(lines) > 0 {
		return entitytag.Listed(lines, etag)
	}
	since := cachecontrol.Date(r.Header["If-Modified-Since"])
	return modified != "" && !since.IsZero() && !cachecontrol.Date(header["Last-Modified"]).After(since)
}
