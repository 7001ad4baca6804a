package transport

import "testing"

// TestWindowsWake: an update of the connection's window wakes as many senders as it is
// for, and not all that wait (Semantics 51).
func TestWindowsWake(t *testing.T) {
	for _, test := range []struct {
		name        string
		grown       uint32
		window      int64 // of each stream
		left        int
		woken, more int
	}{
		{"a byte", 1, 100, 50, 1, 1},
		{"a message", 50, 100, 50, 1, 1},
		{"two messages", 51, 100, 50, 2, 1},
		{"what the streams may send counts", 30, 10, 50, 3, 1},
		{"all there are", 1000, 100, 50, 20, 0},
		{"none that waits for its own window", 1000, 0, 50, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := windows{blocked: map[*Stream]struct{}{}}
			var all []*Stream
			for range 20 {
				s := &Stream{window: test.window, writable: make(chan struct{}, 1)}
				w.wait(s, test.left)
				all = append(all, s)
			}
			woken := func() (n int) {
				for _, s := range all {
					n += len(s.writable)
				}
				return n
			}
			if err := w.grow(test.grown); err != nil {
				t.Fatal(err)
			}
			w.wake(1 << 20)
			if n := woken(); n != test.woken {
				t.Errorf("%d streams are woken, want %d", n, test.woken)
			}
			w.wake(1) // who was woken did not take all
			if n := woken() - test.woken; n != test.more {
				t.Errorf("%d streams more are woken, want %d", n, test.more)
			}
		})
	}
}
