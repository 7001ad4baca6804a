package transcoder

import (
	"net/textproto"

	"google.golang.org/grpc/metadata"
)

// TakeTrailer is called with the trailing metadata before the header of an
// answer that is no stream: it goes into the header, or is announced there and
// follows the body (SendTrailer), or is left out where the client does not take
// trailers (RFC 9110, 6.5.1).
func (c *Call) TakeTrailer(md metadata.MD) {
	rules := c.Binding.Method.Settings.Headers
	if !rules.httpTrailers {
		rules.Trailer(c.X.Header(), md)
		return
	}
	if len(md) == 0 || rules.trailerPrefix == "" || c.Binding.Method.Shape.ServerStreams || !c.X.TakesTrailers() {
		return
	}
	c.lateTrailer = true
	for name := range md {
		if !neverCrosses(name) {
			c.X.Header().Add("Trailer", textproto.CanonicalMIMEHeaderKey(rules.trailerPrefix+name))
		}
	}
}

// SendTrailer writes what TakeTrailer announced.
func (c *Call) SendTrailer(md metadata.MD) {
	if c.lateTrailer {
		c.Binding.Method.Settings.Headers.Trailer(c.X.Header(), md)
	}
}
