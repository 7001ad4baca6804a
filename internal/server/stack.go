package server

// The stack of a new goroutine has 2 KiB, and is copied whole each time it grows. Goroutines of which there is one for
// each request or each handshake have theirs grow at once, while there is little on it.

// growStackForRequest makes room for a request of HTTP/3. Never is false.
//
//go:noinline
func growStackForRequest(never bool) (last byte) {
	if never {
		var room [6 << 10]byte
		last = fill(room[:])
	}
	return last
}

// growStackForHandshake makes room for a handshake of TLS, whose post-quantum part takes 10 KiB. Never is false.
//
//go:noinline
func growStackForHandshake(never bool) (last byte) {
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
