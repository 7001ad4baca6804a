// Package rfc9111 judges the answers of plain HTTP servers as a shared cache does: which are
// kept, for how long they are fresh, what they vary by, and what a 304 changes of one that is
// stale. It keeps nothing, and asks nobody.
//
//	if kept := rule.Judge(&head, caller); kept != nil {
//		// with its body it is given until kept.FreshUntil()
//	}
package rfc9111

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

// Rule says how the answers of a route are kept.
type Rule struct {
	sharing.Scope
	// TTL holds for answers that do not say for how long they are fresh, NotFoundTTL for
	// 404 and 410; 0: they are not kept.
	TTL, NotFoundTTL time.Duration
	// WhileRevalidate and IfError hold where an answer says nothing of how long it may be
	// given when it is stale.
	WhileRevalidate, IfError time.Duration
}

// Head is the beginning of an answer, as the server gave it, without what is between it and
// the gateway.
type Head struct {
	Status int
	Server string // its authority
	Header http.Header
	// Sent is when the answer was asked for, and Came when its header was there.
	Sent, Came time.Time
}

// Kept is the head of an answer that is kept. It is immutable.
type Kept struct {
	Status int
	Server string
	Header http.Header // end to end, without Age and Content-Length
	sharing.Life
	// Asked is how long it is asked for by its validators, from when it came.
	Asked time.Duration
	// Vary are the names, canonical, of headers that it varies by, besides those in every
	// key.
	Vary []string
}

// Expired reports whether the answer is of no use any more.
func (k *Kept) Expired(now time.Time) bool {
	return k.Over(now) && now.Sub(k.Came) >= k.Asked
}

// Bytes is the memory that what has no fixed length in it takes, not too small.
func (k *Kept) Bytes() int {
	n := len(k.Server)
	for name, values := range k.Header {
		n += len(name) + 64
		for _, v := range values {
			n += len(v) + 16
		}
	}
	for _, v := range k.Vary {
		n += len(v) + 16
	}
	return n
}

// EverFresh reports whether there was a time at which the answer was.
func (k *Kept) EverFresh() bool { return k.Fresh > 0 }

// statuses says how answers are kept that have a status: RFC 9110 15.1 has those that need
// not say for how long, and all of these are what a cache that keeps whole answers
// understands.
var statuses = map[int]struct{ byDefault, missing bool }{
	http.StatusOK: {byDefault: true}, http.StatusNonAuthoritativeInfo: {byDefault: true}, http.StatusNoContent: {byDefault: true},
	http.StatusMultipleChoices: {byDefault: true}, http.StatusMovedPermanently: {byDefault: true}, http.StatusPermanentRedirect: {byDefault: true},
	http.StatusNotFound: {missing: true}, http.StatusGone: {missing: true},
	http.StatusFound: {}, http.StatusSeeOther: {}, http.StatusTemporaryRedirect: {},
	http.StatusMethodNotAllowed: {}, http.StatusRequestURITooLong: {}, http.StatusNotImplemented: {},
}

// forbids reports whether an answer must not be kept, whatever is said of its time
// (RFC 9111 3, Traffic 117).
func (r *Rule) forbids(h *Head, control *cachecontrol.Control, c sharing.Caller) bool {
	_, understood := statuses[h.Status]
	switch {
	case h.Status < 200, h.Status == http.StatusPartialContent, h.Status == http.StatusNotModified, h.Status > 599:
		return true
	case control.Says(cachecontrol.MustUnderstand) && !understood, control.Says(cachecontrol.NoCache):
		return true
	case control.Says(cachecontrol.NoStore) && !control.Says(cachecontrol.MustUnderstand):
		return true // beside must-understand, no-store is for who does not understand it
	case control.Says(cachecontrol.Private) && !r.Principal:
		return true
	}
	for _, name := range [...]string{"Set-Cookie", "Content-Range", "Trailer"} {
		if len(h.Header[name]) > 0 {
			return true
		}
	}
	return !r.MayShare(control, c) || isStream(h.Header["Content-Type"])
}

// isStream reports whether what has the type is made while it is read.
func isStream(contentType []string) bool {
	if len(contentType) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(contentType[0], ";")
	kind = strings.TrimSpace(kind)
	return strings.EqualFold(kind, "text/event-stream") || strings.EqualFold(kind, "multipart/x-mixed-replace")
}

// lifetime is for how long an answer is fresh, by itself or else by the rule; ok is false
// where neither says it.
func (r *Rule) lifetime(status int, said *sharing.Said) (_ time.Duration, ok bool) {
	of, ok := said.Lifetime()
	if ok {
		return of, true
	}
	switch known := statuses[status]; {
	case known.byDefault:
		of = r.TTL
	case known.missing:
		of = r.NotFoundTTL
	}
	return of, of > 0
}

// askedFor is for how long a stale answer is kept that the server can be asked about.
const askedFor = 24 * time.Hour

// Judge returns what is kept of an answer to a caller; nil for one that must not be kept
// (Traffic 117, 131).
func (r *Rule) Judge(h *Head, c sharing.Caller) *Kept {
	control := cachecontrol.Parse(h.Header["Cache-Control"])
	if r.forbids(h, &control, c) {
		return nil
	}
	vary, none := cachecontrol.Vary(nil, h.Header["Vary"])
	if none {
		return nil
	}
	names, ok := r.varies(vary)
	said := sharing.Said{Control: &control, Date: h.Header["Date"], Age: h.Header["Age"], Expires: h.Header["Expires"], Sent: h.Sent, Came: h.Came}
	lifetime, known := r.lifetime(h.Status, &said)
	if !ok || !known {
		return nil
	}
	k := &Kept{Status: h.Status, Server: h.Server, Vary: names, Life: said.Life(lifetime, r.WhileRevalidate, r.IfError)}
	if etag, modified := validators(h.Header); etag != "" || modified != "" {
		k.Asked = max(k.Fresh, 0) + askedFor
	}
	if k.Expired(h.Came) {
		return nil
	}
	k.Header = keptHeader(h)
	return k
}

// Once is what a head is that is not kept, and is for those who wait for it alone.
func Once(h *Head) *Kept {
	return &Kept{Status: h.Status, Server: h.Server, Header: keptHeader(h), Life: sharing.Life{Came: h.Came}}
}

// ofOneCall are fields that say of which request or trace an answer is.
var ofOneCall = map[string]bool{"X-Request-Id": true, "Traceparent": true, "Tracestate": true}

// keptHeader is what is kept of a header. Nobody else has its slices, nor can append to
// them.
func keptHeader(h *Head) http.Header {
	kept := make(http.Header, len(h.Header)+1)
	for name, values := range h.Header {
		if field.HopByHop(name) || name == "Age" || name == "Content-Length" || ofOneCall[name] {
			continue
		}
		kept[name] = slices.Clip(slices.Clone(values))
	}
	if kept["Date"] == nil {
		kept["Date"] = []string{h.Came.UTC().Format(http.TimeFormat)}
	}
	return kept
}

// varies returns, canonical, the names that an answer varies by beyond what is in every key.
// ok is false where it varies by what the gateway says of each client: such an answer is for
// nobody else.
func (r *Rule) varies(names []string) (_ []string, ok bool) {
	var all []string
	for _, n := range names {
		canonical := textproto.CanonicalMIMEHeaderKey(n)
		switch {
		case canonical == "Host", canonical == "X-Forwarded-Host", canonical == "X-Forwarded-Proto", slices.Contains(r.Vary, canonical):
		case canonical == "Via", ofOneCall[canonical], field.HopByHop(canonical), field.Origin(n):
			return nil, false
		default:
			all = append(all, canonical)
		}
	}
	return all, true
}
