// Package compression has the encodings that bodies and messages are compressed with,
// in both directions. It knows of HTTP only the headers that name them, and bounds what
// a client can make it hold.
//
//	encoding, err := compression.OfBody(answer, request, false)
//	body, err := encoding.NewReader(r)
package compression
