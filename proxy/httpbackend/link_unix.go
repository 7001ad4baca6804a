//go:build unix

package httpbackend

import (
	"syscall"
	"time"
)

// silent reports whether a connection that waits for a request is open, and nothing came
// by it: what a server sends unasked would be taken for the answer to the next request.
func (l *link) silent() bool {
	if l.raw == nil || l.in.Buffered() > 0 {
		return false
	}
	waits, n := false, 0
	err := l.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		var err error
		n, _, err = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		waits = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	switch {
	case err != nil:
		return false
	case waits:
		return !l.secure || l.quiet(longAgo)
	}
	return l.secure && n > 0 && l.quiet(time.Now().Add(peekTime)) // it may be for TLS alone
}
