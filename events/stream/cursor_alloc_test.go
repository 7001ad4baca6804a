//go:build !race

// Under the race detector sync.Pool drops what it is given, now and then.

package stream

import "testing"

// TestCursorAllocations: a cursor, which each event has, takes four pieces of memory: what is signed, the
// topic for the hash, the base64 and its text. The hash is not made anew.
func TestCursorAllocations(t *testing.T) {
	s := newSigner(make([]byte, keyBytes), 1)
	if n := testing.AllocsPerRun(1000, func() { s.cursor("topic", 7) }); n > 4 {
		t.Errorf("a cursor takes %v allocations, expected at most 4", n)
	}
}
