package stack

import (
	"testing"
	"unsafe"
)

// TestGrows: after the room is made, what needs no more of it moves nothing.
func TestGrows(t *testing.T) {
	for name, grow := range map[string]func(bool) byte{"for a call": ForCall, "for a handshake": ForHandshake} {
		moved := make(chan bool)
		go func() {
			grow(false)
			var here byte
			before := uintptr(unsafe.Pointer(&here)) // which the stack's moves do not change
			use(4 << 10 / 128)
			moved <- uintptr(unsafe.Pointer(&here)) != before
		}()
		if <-moved {
			t.Errorf("%s: the stack has grown twice", name)
		}
	}
}

// use takes about 128 bytes of stack for each level.
//
//go:noinline
func use(levels int) (sum byte) {
	var room [64]byte
	if levels > 0 {
		room[levels%len(room)] = use(levels - 1)
	}
	for _, b := range room {
		sum += b
	}
	return sum
}
