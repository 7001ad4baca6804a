// Package s3fifo is a cache in memory with a bound in bytes, whose entries are found by key
// and dropped by key, by tag or for want of memory.
//
// Memory is freed by S3-FIFO (Yang et al., SOSP 2023): what is new stands in a small queue,
// and moves on to the main one where it was asked for again, so that a scan of keys that are
// used once drops little of what is used often.
package s3fifo

import (
	"sync"
	"sync/atomic"
)

// Cache keeps values of type V. It is safe for concurrent use.
type Cache[V any] struct {
	mu      sync.RWMutex
	max     int64
	bytes   int64
	entries map[string]*Entry[V]
	tagged  map[string]*link[V] // the first of a list
	small   queue[V]
	main    queue[V]
	ghosts  ghosts
	evicted atomic.Uint64
	// outside is what takes memory and is no entry: what was reserved, and entries that were
	// dropped while they are read.
	outside atomic.Int64
}

// Entry is a value with what it is found and dropped by. Its fields are not changed once it
// is put, but Size by Grow.
type Entry[V any] struct {
	Key   string
	Tags  []string
	Size  int64 // bytes in memory, those of Key and Tags too
	Value V

	uses       atomic.Int32
	state      atomic.Uint32 // how many read it, and inside
	queue      *queue[V]
	prev, next *Entry[V]
	links      []link[V] // one for each of Tags
}

// maxUses is up to where uses of an entry are counted.
const maxUses = 3

// New returns an empty Cache for entries of at most maxBytes in all.
func New[V any](maxBytes int64) *Cache[V] {
	return &Cache[V]{max: maxBytes, entries: map[string]*Entry[V]{}, tagged: map[string]*link[V]{}}
}

// Get returns the entry of a key and counts a use of it, or nil.
func (c *Cache[V]) Get(key []byte) *Entry[V] {
	c.mu.RLock()
	e := c.entries[string(key)]
	c.mu.RUnlock()
	if e == nil {
		return nil
	}
	if n := e.uses.Load(); n < maxUses {
		e.uses.Store(n + 1) // one lost to another is no harm
	}
	return e
}

// Peek returns the entry of a key without counting a use of it, or nil.
func (c *Cache[V]) Peek(key string) *Entry[V] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[key]
}

// Put keeps an entry in place of the one with its key. It reports false where there is no
// memory for it.
func (c *Cache[V]) Put(e *Entry[V]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	others := c.outside.Load()
	if e.state.Load() > 0 {
		others -= e.Size // it is read already
	}
	if e.Size > c.max-max(others, 0) {
		return false
	}
	if old := c.entries[e.Key]; old != nil {
		e.uses.Store(old.uses.Load())
		c.remove(old)
	}
	c.entries[e.Key] = e
	c.link(e)
	c.bytes += e.Size
	if e.state.Or(inside) > 0 {
		c.outside.Add(-e.Size)
	}
	if c.ghosts.forget(e.Key) {
		c.main.push(e)
	} else {
		c.small.push(e)
	}
	c.evict()
	return true
}

// inside is the bit of Entry.state that an entry has while it is in a cache. Each change of
// state tells by itself whether the entry is one of Cache.outside from then on.
const inside = 1 << 31

// Pin has an entry, which may be in the cache or not, count until Unpin: one that is dropped
// while it is read takes its memory still. Its Size must be set.
func (c *Cache[V]) Pin(e *Entry[V]) {
	if e.state.Add(1) == 1 {
		c.outside.Add(e.Size)
	}
}

// Unpin takes a Pin back.
func (c *Cache[V]) Unpin(e *Entry[V]) {
	if e.state.Add(^uint32(0)) == 0 {
		c.outside.Add(-e.Size)
	}
}

// Reserve takes n bytes of the bound for what is not an entry yet, and drops entries for them.
// It reports false, and takes nothing, where what is no entry would take more than most, or leaves
// no room.
func (c *Cache[V]) Reserve(n, most int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outside.Load()+n > min(most, c.max) {
		return false
	}
	c.outside.Add(n)
	if c.evict(); c.outside.Load() > c.max { // what was dropped is read still
		c.outside.Add(-n)
		return false
	}
	return true
}

// Release gives bytes back that were reserved.
func (c *Cache[V]) Release(n int64) { c.outside.Add(-n) }

// Grow has an entry take more bytes, less where that is below zero, up to a size of most in all.
// It reports false, and changes nothing, where the entry is not there or may not grow. The entry
// must be one that nobody pins. Others, and the entry itself, are dropped for want of memory.
func (c *Cache[V]) Grow(e *Entry[V], bytes, most int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[e.Key] != e || bytes > 0 && e.Size+bytes > min(most, c.max-c.outside.Load()) {
		return false
	}
	e.Size += bytes
	c.bytes += bytes
	e.queue.bytes += bytes
	c.evict()
	return true
}

// Max returns the bound.
func (c *Cache[V]) Max() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.max
}

// Remove drops an entry, and reports whether it was there.
func (c *Cache[V]) Remove(e *Entry[V]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remove(e)
}

// DropTagged drops the entries that have one of the tags, and returns how many there were.
func (c *Cache[V]) DropTagged(tags []string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := 0
	for _, tag := range tags {
		for l := c.tagged[tag]; l != nil; l = c.tagged[tag] {
			c.remove(l.of)
			dropped++
		}
	}
	return dropped
}

// DropFunc drops the entries for which drop reports true, and returns how many there were.
// It looks at all of them, and calls drop while nobody else can use the cache.
func (c *Cache[V]) DropFunc(drop func(*Entry[V]) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := 0
	for _, e := range c.entries {
		if drop(e) {
			c.remove(e)
			dropped++
		}
	}
	return dropped
}

// Resize changes the bound.
func (c *Cache[V]) Resize(maxBytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.max = maxBytes
	c.evict()
}

// Usage is how full a cache is.
type Usage struct {
	// Bytes is the sum of the entries' sizes, and Max its bound.
	Bytes, Max int64
	// Outside is what is reserved, and entries that were dropped and are read still: it counts
	// in the bound, too.
	Outside int64
	Entries int
	// Evicted is how many entries were dropped for want of memory.
	Evicted uint64
}

// Usage returns what the cache holds at one moment.
func (c *Cache[V]) Usage() Usage {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Usage{Bytes: c.bytes, Max: c.max, Outside: c.outside.Load(), Entries: len(c.entries), Evicted: c.evicted.Load()}
}

// Len returns how many entries there are.
func (c *Cache[V]) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.entries)
}

// Bytes returns the sum of the entries' sizes.
func (c *Cache[V]) Bytes() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.bytes
}

// Evicted returns how many entries were dropped for want of memory.
func (c *Cache[V]) Evicted() uint64 { return c.evicted.Load() }

// remove drops an entry. The caller holds mu.
func (c *Cache[V]) remove(e *Entry[V]) bool {
	if c.entries[e.Key] != e {
		return false
	}
	delete(c.entries, e.Key)
	c.unlink(e)
	e.queue.remove(e)
	c.bytes -= e.Size
	if e.state.And(^uint32(inside)) > inside {
		c.outside.Add(e.Size)
	}
	return true
}

// evict drops entries until the rest is within the bound. The caller holds mu.
func (c *Cache[V]) evict() {
	for len(c.entries) > 0 && c.bytes+c.outside.Load() > c.max {
		if c.small.bytes > c.max/10 || c.main.last == nil {
			c.evictSmall()
		} else {
			c.evictMain()
		}
	}
}

// evictSmall moves the oldest of the new entries on where it was used, and drops it where
// it was not.
func (c *Cache[V]) evictSmall() {
	e := c.small.last
	if e.uses.Load() > 0 {
		c.small.remove(e)
		e.uses.Store(0)
		c.main.push(e)
		return
	}
	c.remove(e)
	c.evicted.Add(1)
	c.ghosts.note(e.Key, 2*len(c.entries)+64)
}

// evictMain gives the oldest entry another round for each use, and drops it then.
func (c *Cache[V]) evictMain() {
	e := c.main.last
	if n := e.uses.Load(); n > 0 {
		c.main.remove(e)
		e.uses.Store(n - 1)
		c.main.push(e)
		return
	}
	c.remove(e)
	c.evicted.Add(1)
}
