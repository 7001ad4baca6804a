package httpbackend

import "golang.org/x/sys/unix"

// waiting is how many bytes of the server can be read at once.
func (l *link) waiting() int64 {
	if l.raw == nil {
		return 0
	}
	if l.count == nil {
		l.count = func(fd uintptr) {
			n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
			if l.there = int64(n); err != nil {
				l.there = 0
			}
		}
	}
	if l.raw.Control(l.count) != nil {
		return 0
	}
	return l.there
}
