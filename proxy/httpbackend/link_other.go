//go:build !unix

package httpbackend

import "time"

// silent reports whether a connection that waits for a request is open, and nothing came
// by it: what a server sends unasked would be taken for the answer to the next request.
func (l *link) silent() bool {
	return l.in.Buffered() == 0 && l.quiet(time.Now().Add(peekTime))
}
