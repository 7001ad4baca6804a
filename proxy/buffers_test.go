package proxy

import "testing"

func TestBuffers(t *testing.T) {
	b := new(buffers)
	for _, n := range []int{0, 1, 255, 256, 257, 4096, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5 << 20} {
		buf := b.Get(n)
		if len(*buf) != n {
			t.Errorf("Get(%d) has %d bytes", n, len(*buf))
		}
		if n <= 1<<20 && cap(*buf)&(cap(*buf)-1) != 0 {
			t.Errorf("Get(%d) has a capacity of %d", n, cap(*buf))
		}
		b.Put(buf)
		if again := b.Get(n); len(*again) != n {
			t.Errorf("Get(%d) again has %d bytes", n, len(*again))
		}
	}
	odd := make([]byte, 300)
	b.Put(&odd) // not one of ours: dropped
	if got := b.Get(300); cap(*got) != 512 {
		t.Errorf("a foreign buffer of %d bytes came back", cap(*got))
	}
}
