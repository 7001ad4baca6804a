// Package rawgrpc writes the frames of a gRPC server by hand, for tests of what no
// library sends.
package rawgrpc

import (
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Answer answers a call with a message and status OK.
func Answer(fr *http2.Framer, id uint32, text string) {
	Begin(fr, id)
	_ = fr.WriteData(id, false, append([]byte{0, 0, 0, 0, byte(len(text))}, text...))
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, EndStream: true, BlockFragment: fields("grpc-status", "0")})
}

// Begin sends the header of an answer.
func Begin(fr *http2.Framer, id uint32) {
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: fields(":status", "200", "content-type", "application/grpc")})
}

// fields are a header block that leaves the connection's table as it was.
func fields(pairs ...string) []byte {
	var b strings.Builder
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1], Sensitive: true})
	}
	return []byte(b.String())
}
