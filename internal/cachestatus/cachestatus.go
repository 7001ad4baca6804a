// Package cachestatus writes the field Cache-Status, by which a cache says what it did for
// a request (RFC 9211):
//
//	cachestatus.Add(header, cachestatus.Status{Forward: cachestatus.URIMiss, Stored: true})
//	// Cache-Status: transom; fwd=uri-miss; stored
//
// It decides nothing: what was done, and who may see it, is said by its callers.
package cachestatus

import (
	"net/http"
	"strconv"
	"time"
)

// Name is what this cache is called in the field.
const Name = "transom"

// field is the field's name as it stands in a http.Header.
const field = "Cache-Status"

// Forward is why a request went on towards the origin.
type Forward string

// The reasons of RFC 9211 2.2 that this cache has.
const (
	Bypass   Forward = "bypass"    // the cache was not to be used
	Method   Forward = "method"    // the request's method is one that is never answered from a cache
	URIMiss  Forward = "uri-miss"  // nothing is kept for the URI
	VaryMiss Forward = "vary-miss" // what is kept for the URI is for other values of its Vary
	Request  Forward = "request"   // a fresh answer is kept, but the request's own directives did not allow it
	Stale    Forward = "stale"     // what is kept is stale
	Partial  Forward = "partial"   // what is kept is only a part
)

// The details that this cache gives. They are tokens.
const (
	WhileRevalidate = "stale-while-revalidate" // a stale answer, while a new one is fetched
	IfError         = "stale-if-error"         // a stale answer, as the origin failed
	HitForMiss      = "hit-for-miss"           // what is asked for was found not to be kept
	Range           = "range"                  // requests for a part pass
)

// Status is what the cache did.
type Status struct {
	// Forward is why the request went on; "": it did not, and the answer is a hit.
	Forward Forward
	// ForwardStatus is the status of the origin's answer where it is not the client's, as
	// 304 for an answer that was revalidated; 0: not said.
	ForwardStatus int
	// TTL is for how long the answer is fresh, below zero for one that is stale; it is said
	// where HasTTL is.
	TTL    time.Duration
	HasTTL bool
	// Stored says that the answer is kept now, and Collapsed that another request's answer
	// was this one's, too. A hit has neither.
	Stored, Collapsed bool
	// Detail is a token; "" for none.
	Detail string
}

// Add appends what this cache did behind what caches nearer to the origin said.
func Add(h http.Header, s Status) {
	h[field] = append(h[field][:len(h[field]):len(h[field])], string(s.Append(nil)))
}

// Append appends the member of the list that s is.
func (s *Status) Append(b []byte) []byte {
	b = append(b, Name...)
	if s.Forward == "" {
		b = append(b, "; hit"...)
	} else {
		b = append(append(b, "; fwd="...), s.Forward...)
		if s.ForwardStatus != 0 {
			b = strconv.AppendInt(append(b, "; fwd-status="...), int64(s.ForwardStatus), 10)
		}
	}
	if s.HasTTL {
		b = strconv.AppendInt(append(b, "; ttl="...), seconds(s.TTL), 10)
	}
	if s.Forward != "" && s.Stored {
		b = append(b, "; stored"...)
	}
	if s.Forward != "" && s.Collapsed {
		b = append(b, "; collapsed"...)
	}
	if s.Detail != "" {
		b = append(append(b, "; detail="...), s.Detail...)
	}
	return b
}

// seconds rounds down, so that what has been stale for less than a second is below zero,
// as RFC 9211 2.4 has it, and what is said to be fresh is.
func seconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		s--
	}
	return s
}
