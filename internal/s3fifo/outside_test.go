package s3fifo_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/s3fifo"
)

// TestOutside: what is reserved, and what was dropped while it is read, counts in the bound.
func TestOutside(t *testing.T) {
	c := s3fifo.New[int](100)
	expectOutside := func(what string, bytes, outside int64) {
		t.Helper()
		if u := c.Usage(); u.Bytes != bytes || u.Outside != outside {
			t.Errorf("%s: %d bytes and %d outside, expected %d and %d", what, u.Bytes, u.Outside, bytes, outside)
		}
	}
	e := &s3fifo.Entry[int]{Key: "a", Size: 40}
	c.Put(e)
	c.Pin(e)
	c.Pin(e)
	expectOutside("read", 40, 0)
	c.Remove(e)
	expectOutside("dropped while it is read", 0, 40)
	c.Unpin(e)
	expectOutside("read by one", 0, 40)
	if put(c, "b", 61, 1) || !put(c, "b", 60, 1) {
		t.Error("there are 60 bytes for others")
	}
	c.Unpin(e)
	expectOutside("read by nobody", 60, 0)

	if c.Reserve(51, 50) || !c.Reserve(50, 50) || c.Reserve(1, 50) {
		t.Error("there are 50 bytes to be reserved")
	}
	expectOutside("reserved", 0, 50)
	e = &s3fifo.Entry[int]{Key: "c", Size: 50}
	c.Pin(e)
	c.Release(50)
	expectOutside("not kept yet", 0, 50)
	if !c.Put(e) {
		t.Error("what is read already has its place")
	}
	expectOutside("kept", 50, 0)
	put(c, "c", 30, 1)
	expectOutside("another one in its place", 30, 50)
	c.Unpin(e)
	expectOutside("at the end", 30, 0)
}

// TestOutsideConcurrent: whoever drops, puts and reads at the same time, nothing is counted in
// the end that is not there.
func TestOutsideConcurrent(t *testing.T) {
	c := s3fifo.New[int](1000)
	var all sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(uint64(i), 2))
		all.Go(func() {
			for range 5000 {
				key := fmt.Sprint(random.IntN(50))
				switch random.IntN(5) {
				case 0:
					if n := random.Int64N(100); c.Reserve(n, 250) {
						c.Release(n)
					}
				case 1:
					e := &s3fifo.Entry[int]{Key: key, Size: 1 + random.Int64N(100)}
					c.Pin(e)
					c.Put(e)
					c.Unpin(e)
				case 2:
					if e := c.Peek(key); e != nil {
						c.Remove(e)
					}
				default:
					if e := c.Get([]byte(key)); e != nil {
						c.Pin(e)
						defer c.Unpin(e)
					}
				}
			}
		})
	}
	all.Wait()
	c.DropFunc(func(*s3fifo.Entry[int]) bool { return true })
	if u := c.Usage(); u.Bytes != 0 || u.Outside != 0 {
		t.Errorf("%+v is there of nothing", u)
	}
}
