//go:build !linux

package httpbackend

// waiting is how many bytes of the server can be read at once, as far as that is known.
func (*link) waiting() int64 { return 0 }
