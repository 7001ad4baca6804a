package exchange

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"time"
)

// Exchange is one HTTP request on its way through an edge.
type Exchange struct {
	// W is the server's half: the answer, and what there is to ask of the connection.
	W Front
	// R is the request. It is net/http's type for every server, as its header and URL
	// are what all that reads requests takes.
	R *http.Request
	// Values are what the path's variables bind, in the template's order, decoded.
	Values []string
	// BeforeHeader is called once, just before the answer's header is written,
	// and may change it. Nil for nothing to do.
	BeforeHeader func(http.Header)
	// Readings are the gateway's. Nil for a gateway of this one request.
	Readings *Readings
}

// Front is what an edge needs of the server that it answers through. The names are those
// that http.ResponseController looks for, so that a Front is of use to others as a
// ResponseWriter, too. What a server cannot do fails with http.ErrNotSupported.
//
// One goroutine at a time writes. The deadlines may be set beside it, and beside who reads
// the request's body: one that has passed makes a read or write that waits fail. On a
// connection that carries many requests, as in HTTP/2, they are this request's alone.
type Front interface {
	http.ResponseWriter
	// FlushError sends the client what was written.
	FlushError() error
	SetReadDeadline(t time.Time) error
	// SetWriteDeadline bounds the writing of the answer; zero takes the bound off.
	SetWriteDeadline(t time.Time) error
	// EnableFullDuplex lets an answer over HTTP/1.1 begin before the request has ended.
	EnableFullDuplex() error
	// Hijack takes the connection over from the server. Only HTTP/1.1 has it.
	Hijack() (net.Conn, *bufio.ReadWriter, error)
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
