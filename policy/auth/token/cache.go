package token

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

const (
	// tokenCacheSets × tokenCacheWays is how many tokens are remembered.
	tokenCacheSets, tokenCacheWays = 4096, 4
	// tokenCacheBytes bounds the memory of what is remembered, roughly.
	tokenCacheBytes = 64 << 20
)

// cache remembers verified tokens. A token has tokenCacheWays places that
// it may stand at, found by its hash: looking one up takes no lock and no
// memory. A full place gives way to a new token, the expired and the unused
// ones first.
type cache struct {
	seed  maphash.Seed
	slots [tokenCacheSets * tokenCacheWays]atomic.Pointer[Verified]
	bytes atomic.Int64
	hand  atomic.Uint64
	limit int64
}

func newCache() *cache {
	return &cache{seed: maphash.MakeSeed(), limit: tokenCacheBytes}
}

// get finds a token that has not expired and whose issuer has the same keys as
// when it was verified.
func (c *cache) get(token string, now time.Time) *Verified {
	hash := maphash.String(c.seed, token)
	first := hash % tokenCacheSets * tokenCacheWays
	for i := first; i < first+tokenCacheWays; i++ {
		v := c.slots[i].Load()
		if v == nil || v.hash != hash || v.token != token {
			continue
		}
		if !now.Before(v.until) || v.keys != v.issuer.current() {
			if c.slots[i].CompareAndSwap(v, nil) {
				c.bytes.Add(-v.size)
			}
			return nil
		}
		if !v.used.Load() {
			v.used.Store(true)
		}
		return v
	}
	return nil
}

// drop forgets a token.
func (c *cache) drop(token string) {
	first := maphash.String(c.seed, token) % tokenCacheSets * tokenCacheWays
	for i := first; i < first+tokenCacheWays; i++ {
		if v := c.slots[i].Load(); v != nil && v.token == token && c.slots[i].CompareAndSwap(v, nil) {
			c.bytes.Add(-v.size)
		}
	}
}

// recheck makes the next call with a token of this principal ask whether it was
// revoked.
func (c *cache) recheck(principal string) {
	for i := range c.slots {
		if v := c.slots[i].Load(); v != nil && v.identity.Principal == principal {
			v.checked.Store(neverChecked)
		}
	}
}

// put remembers a token.
func (c *cache) put(v *Verified, now time.Time) {
	v.hash = maphash.String(c.seed, v.token)
	first := v.hash % tokenCacheSets * tokenCacheWays
	victim := first + c.hand.Add(1)%tokenCacheWays
	for i := first; i < first+tokenCacheWays; i++ {
		old := c.slots[i].Load()
		if old == nil || !now.Before(old.until) {
			victim = i
			break
		}
		if !old.used.Swap(false) {
			victim = i
		}
	}
	c.swap(victim, v)
	// Too many bytes: empty one place after the other.
	for n := 0; c.bytes.Load() > c.limit && n < len(c.slots); n++ {
		if i := c.hand.Add(1) % uint64(len(c.slots)); i != victim {
			c.swap(i, nil)
		}
	}
}

func (c *cache) swap(i uint64, v *Verified) {
	if v != nil {
		c.bytes.Add(v.size)
	}
	if old := c.slots[i].Swap(v); old != nil {
		c.bytes.Add(-old.size)
	}
}
