//go:build !unix

package httpbackend

import "time"

// silent reports whether a connection that waits for a request is open, and nothing came
// by it: what a server sends unasked would be taken for the answer to the next request.
func (l *link) silent() bool {
	if l.in.Buffered() > 0 || l.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return false
	}
	var one [1]byte
	n, err := l.conn.Read(one[:])
	timeout, ok := err.(interface{ Timeout() bool })
	return n == 0 && ok && timeout.Timeout() && l.conn.SetReadDeadline(time.Time{}) == nil
}
