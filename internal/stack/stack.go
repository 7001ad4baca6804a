// Package stack makes the stack of a new goroutine grow once. Such a stack has 2 KiB, and is copied whole each time it is
// doubled. Goroutines of which there is one for each request or each handshake have theirs grow while there is little on it.
//
//	stack.ForCall(false)
package stack

// ForCall makes room for a call of a backend. Never is false.
//
//go:noinline
func ForCall(never bool) (last byte) {
	if never {
		var room [6 << 10]byte
		last = fill(room[:])
	}
	return last
}

// ForHandshake makes room for a handshake of TLS, whose post-quantum part takes 10 KiB. Never is false.
//
//go:noinline
func ForHandshake(never bool) (last byte) {
	if never {
		var room [12 << 10]byte
		last = fill(room[:])
	}
	return last
}

// fill keeps the compiler from leaving out the room.
func fill(room []byte) (last byte) {
	for i := range room {
		room[i] = last
		last += room[len(room)-1-i]
	}
	return last
}
