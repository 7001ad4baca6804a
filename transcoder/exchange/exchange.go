package exchange

import (
	"net/http"
	"strings"
)

// Exchange is one HTTP request on its way through an edge. It is a struct over the two
// types that every server in Go offers, net/http's and quic-go's alike; what differs
// between servers is behind its methods, which net_http.go has.
type Exchange struct {
	// W and R are the server's.
	W http.ResponseWriter
	R *http.Request
	// Values are what the path's variables bind, in the template's order, decoded.
	Values []string
	// BeforeHeader is called once, just before the answer's header is written,
	// and may change it. Nil for nothing to do.
	BeforeHeader func(http.Header)
	// Readings are the gateway's. Nil for a gateway of this one request.
	Readings *Readings
}

// TakesTrailers reports whether the client said TE: trailers (RFC 9110, 10.1.4).
func (x *Exchange) TakesTrailers() bool {
	for _, line := range x.R.Header["Te"] {
		for item := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), "trailers") {
				return true
			}
		}
	}
	return false
}
