package s3fifo_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/s3fifo"
)

func put(c *s3fifo.Cache[int], key string, size int64, value int, tags ...string) bool {
	return c.Put(&s3fifo.Entry[int]{Key: key, Size: size, Value: value, Tags: tags})
}

func expect(t *testing.T, c *s3fifo.Cache[int], n int, bytes int64) {
	t.Helper()
	if c.Len() != n || c.Bytes() != bytes {
		t.Errorf("%d entries of %d bytes, expected %d of %d", c.Len(), c.Bytes(), n, bytes)
	}
}

// TestCache puts, finds and drops entries.
func TestCache(t *testing.T) {
	c := s3fifo.New[int](100)
	if put(c, "large", 101, 0) {
		t.Error("an entry larger than the cache is kept")
	}
	put(c, "a", 10, 1, "x", "y")
	put(c, "b", 20, 2, "y")
	put(c, "c", 30, 3)
	expect(t, c, 3, 60)
	put(c, "a", 15, 4, "z") // in place of the first
	expect(t, c, 3, 65)
	if e := c.Get([]byte("a")); e == nil || e.Value != 4 || c.Peek("a") != e {
		t.Errorf("found %v, expected the second one put", e)
	}
	if c.Get([]byte("d")) != nil || c.Peek("d") != nil {
		t.Error("found what was never put")
	}
	if n := c.DropTagged([]string{"x", "y"}); n != 1 {
		t.Errorf("%d dropped by tag, expected b alone", n)
	}
	expect(t, c, 2, 45)
	e := c.Peek("c")
	if !c.Remove(e) || c.Remove(e) {
		t.Error("an entry is to be removed once")
	}
	if n := c.DropFunc(func(e *s3fifo.Entry[int]) bool { return e.Value == 4 }); n != 1 {
		t.Errorf("%d dropped, expected one", n)
	}
	expect(t, c, 0, 0)
	put(c, "a", 60, 1)
	put(c, "b", 40, 1)
	if c.Resize(50); c.Evicted() != 1 {
		t.Errorf("%d evicted, expected the older one", c.Evicted())
	}
	expect(t, c, 1, 40)
}

// TestGhosts: what was dropped a short time ago and comes again is not new.
func TestGhosts(t *testing.T) {
	c := s3fifo.New[int](100)
	put(c, "ghost", 10, 0)
	for i := range 20 {
		put(c, fmt.Sprint(i), 10, i)
	}
	if c.Peek("ghost") != nil {
		t.Fatal("the oldest is there still")
	}
	put(c, "ghost", 10, 0)
	for i := range 100 {
		put(c, fmt.Sprint("other ", i), 10, i)
	}
	if c.Peek("ghost") == nil {
		t.Error("what came again was dropped by what is new")
	}
}

// TestConcurrent has many use a small cache; what it counts is right in the end.
func TestConcurrent(t *testing.T) {
	c := s3fifo.New[int](1000)
	var all sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		all.Go(func() {
			for range 5000 {
				key := fmt.Sprint(random.IntN(200))
				switch random.IntN(10) {
				case 0:
					c.DropTagged([]string{key})
				case 1:
					c.DropFunc(func(e *s3fifo.Entry[int]) bool { return e.Key == key })
				case 2:
					if e := c.Peek(key); e != nil {
						c.Remove(e)
					}
				case 3, 4, 5:
					put(c, key, int64(random.IntN(50)), 0, key, "all")
				default:
					c.Get([]byte(key))
				}
			}
		})
	}
	all.Wait()
	sum, n := int64(0), 0
	c.DropFunc(func(e *s3fifo.Entry[int]) bool { sum, n = sum+e.Size, n+1; return false })
	expect(t, c, n, sum)
	if sum > 1000 {
		t.Errorf("%d bytes are kept, the bound is 1000", sum)
	}
	if dropped := c.DropTagged([]string{"all"}); dropped != n {
		t.Errorf("%d entries have the tag of all, of %d", dropped, n)
	}
	expect(t, c, 0, 0)
}

// TestTags: what a tag drops is what has it, whatever was put and removed before, and a tag that an entry
// has twice is as one that it has once.
func TestTags(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c, model := s3fifo.New[int](1<<20), map[string][]string{}
	for range 20_000 {
		key := fmt.Sprint(random.IntN(40))
		switch random.IntN(8) {
		case 0:
			if e := c.Peek(key); e != nil {
				c.Remove(e)
			}
			delete(model, key)
		case 1:
			tags, want := []string{fmt.Sprint(random.IntN(10)), fmt.Sprint(random.IntN(10))}, 0
			for key, has := range model {
				if slices.ContainsFunc(has, func(tag string) bool { return slices.Contains(tags, tag) }) {
					delete(model, key)
					want++
				}
			}
			if got := c.DropTagged(tags); got != want {
				t.Fatalf("%d entries are dropped, want %d", got, want)
			}
		default:
			tags := make([]string, random.IntN(4))
			for i := range tags {
				tags[i] = fmt.Sprint(random.IntN(10))
			}
			put(c, key, 10, 0, tags...)
			model[key] = tags
		}
		if c.Len() != len(model) {
			t.Fatalf("%d entries, want %d", c.Len(), len(model))
		}
	}
}
