package transcoder

import (
	"net/http"
	"net/textproto"
	"strings"

	"google.golang.org/grpc/metadata"
)

// TakeTrailer is called with the trailing metadata before the header of an
// answer that is no stream: it goes into the header, or is announced there and
// follows the body (sendTrailer), or is left out where the client does not take
// trailers (RFC 9110, 6.5.1).
func (c *Call) TakeTrailer(md metadata.MD) {
	rules := c.Binding.Method.Settings.Headers
	if !rules.httpTrailers {
		rules.Trailer(c.X.Header(), md)
		return
	}
	if len(md) == 0 || rules.trailerPrefix == "" || c.Binding.Method.Shape.ServerStreams || !takesTrailers(c.X.R.Header) {
		return
	}
	c.lateTrailer = true
	for name := range md {
		if !neverCrosses(name) {
			c.X.Header().Add("Trailer", textproto.CanonicalMIMEHeaderKey(rules.trailerPrefix+name))
		}
	}
}

// SendTrailer writes what takeTrailer announced.
func (c *Call) SendTrailer(md metadata.MD) {
	if c.lateTrailer {
		c.Binding.Method.Settings.Headers.Trailer(c.X.Header(), md)
	}
}

// takesTrailers reports whether a client sent TE: trailers.
func takesTrailers(h http.Header) bool {
	for _, line := range h["Te"] {
		for item := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), "trailers") {
				return true
			}
		}
	}
	return false
}
