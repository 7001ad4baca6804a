package s3fifo

import "testing"

// TestGrow: what an entry grows by counts in the bound, others are dropped for it, and what is not
// in the cache does not grow.
func TestGrow(t *testing.T) {
	c := New[int](1000)
	entry := func(key string) *Entry[int] {
		e := &Entry[int]{Key: key, Size: 300}
		if !c.Put(e) {
			t.Fatalf("there is no room for %s", key)
		}
		return e
	}
	a, b := entry("a"), entry("b")
	entry("c")
	switch {
	case c.Grow(a, 800, 1000):
		t.Error("it grew beyond the bound of all")
	case c.Grow(a, 101, 400):
		t.Error("it grew beyond its own bound")
	case !c.Grow(a, 100, 400) || c.Bytes() != 1000:
		t.Errorf("it did not grow; %d bytes are taken", c.Bytes())
	}
	c.Get([]byte("a"))
	if !c.Grow(a, 300, 1000) || c.Peek("b") != nil || c.Peek("a") != a || c.Bytes() != 1000 {
		t.Errorf("%d bytes are taken by %d entries", c.Bytes(), c.Len())
	}
	if c.Grow(b, 1, 1000) || c.Bytes() != 1000 {
		t.Error("an entry that was dropped grew")
	}
	if !c.Grow(a, -400, 0) || c.Bytes() != 600 {
		t.Errorf("it did not shrink; %d bytes are taken", c.Bytes())
	}
	c.Remove(a)
	c.DropFunc(func(*Entry[int]) bool { return true })
	if c.Bytes() != 0 || c.small.bytes != 0 || c.main.bytes != 0 {
		t.Errorf("%d bytes are taken by nothing, %d and %d of the queues", c.Bytes(), c.small.bytes, c.main.bytes)
	}
}
