package httpbackend

import (
	"maps"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/field"
)

var trailersOnly = []string{"trailers"}

// requestHeader makes the header for the server. Values are shared with the client's.
func (e *exchange) requestHeader() http.Header {
	to := e.endToEnd()
	e.tries.Header(to)
	e.u.identify(to)
	if e.twins {
		dropTwins(to)
	}
	hideKeys(to)
	if e.shaken {
		delete(to, "Early-Data")
	}
	if _, ok := to["User-Agent"]; !ok {
		to["User-Agent"] = nil // or net/http would name itself
	}
	return to
}

// endToEnd makes the header for the server up to what differs from one attempt, and from one
// upstream, to another.
func (e *exchange) endToEnd() http.Header {
	from := e.R.Header
	if e.detached {
		e.twins = true // nobody has looked
		return maps.Clone(from)
	}
	more := 3 // Via, User-Agent, Te
	if e.Header != nil {
		more = 12
	}
	to := make(http.Header, len(from)+more)
	named := field.NamedByConnection(from["Connection"])
	for name, values := range from {
		if field.HopByHop(name) || named[name] || name == "Content-Length" || name == "Host" || name[0] == ':' {
			continue
		}
		if strings.ContainsAny(name, "_.") {
			if field.Reserved(name) || field.Framing(field.Fold(name)) {
				continue
			}
			e.twins = true
		} else if strings.HasPrefix(name, "X-Transom-") {
			continue
		}
		to[name] = values
	}
	if field.HasToken(from["Te"], "trailers") {
		to["Te"] = trailersOnly
	}
	to["Via"] = e.u.via.add(from["Via"], e.R.ProtoMajor, e.R.ProtoMinor)
	if len(e.asked) > 0 {
		e.askUpgrade(to)
	}
	if e.Header != nil {
		e.Header(to)
	}
	return to
}

// dropTwins takes fields away that a server may take for another one of the header.
func dropTwins(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		if !strings.ContainsAny(name, "_.") {
			return false
		}
		_, twin := h[http.CanonicalHeaderKey(field.Fold(name))]
		return twin
	})
}

// hideKeys has net/http not see the fields for which it would send a request that it
// takes for idempotent a second time (Traffic 80).
func hideKeys(h http.Header) {
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
}

// copyAnswer adds the fields of an answer that are not the connection's. Values are
// shared.
func copyAnswer(to, from http.Header) {
	named := field.NamedByConnection(from["Connection"])
	for name, values := range from {
		if field.HopByHop(name) && name != "Proxy-Status" || named[name] {
			continue
		}
		if name == "Alt-Svc" || strings.IndexByte(name, ' ') >= 0 {
			continue // alternatives to the server are none to the gateway; net/http reads "Name : value"
		}
		if name == "X-Request-Id" && to[name] != nil {
			continue // the gateway's own is the one in its log
		}
		to[name] = values
	}
}

// passesInTrailer reports whether a field of a request may stand in its trailer (RFC
// 9110, 6.5.1), if its values may.
func passesInTrailer(name string) bool { return passesInAnswersTrailer(name) && !field.Reserved(name) }

// passesInAnswersTrailer reports the same of an answer's.
func passesInAnswersTrailer(name string) bool {
	return httpguts.ValidHeaderFieldName(name) && httpguts.ValidTrailerHeader(name) && !field.HopByHop(name) && !field.Framing(field.Fold(name))
}

// areValues reports whether values may be those of a field. net/http checks them in
// headers; a trailer of HTTP/2 that has others never ends the stream.
func areValues(values []string) bool {
	for _, value := range values {
		if !httpguts.ValidHeaderFieldValue(value) {
			return false
		}
	}
	return len(values) > 0
}

// via writes the field Via.
type via struct {
	pseudonym string
	// first are the values of a message that has none yet: by HTTP/1.0, 1.1, 2 and 3.
	first [4][]string
}

func newVia(pseudonym string) via {
	v := via{pseudonym: pseudonym}
	for i, version := range [...]string{"1.0", "1.1", "2.0", "3.0"} {
		v.first[i] = []string{version + " " + pseudonym}
	}
	return v
}

// add returns the field with us at its end, who got the message by a version of HTTP.
func (v *via) add(lines []string, major, minor int) []string {
	own := v.first[1]
	switch {
	case major == 1 && minor == 0:
		own = v.first[0]
	case major == 2 || major == 3:
		own = v.first[major]
	}
	if len(lines) == 0 {
		return own
	}
	return append(lines[:len(lines):len(lines)], own[0])
}

// passed reports whether a message came through us before.
func (v *via) passed(lines []string) bool {
	for _, line := range lines {
		for hop := range strings.SplitSeq(line, ",") {
			_, by, _ := strings.Cut(strings.Trim(hop, " \t"), " ")
			by, _, _ = strings.Cut(strings.TrimLeft(by, " \t"), " ")
			if by == v.pseudonym {
				return true
			}
		}
	}
	return false
}
