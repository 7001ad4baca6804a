package ratelimit

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxBuckets bounds the buckets of one process. With bucketBytes it bounds
	// their memory: 44 to 48 MB.
	maxBuckets = 1_000_000
	// bucketShards spreads the buckets over locks; a power of two.
	bucketShards = 64
	// bucketBytes is what one bucket costs: its entry and its place in the index,
	// which has between one and two places an entry.
	bucketBytes = 40 + 8
)

// caller is what calls are counted by: an address as it is, or the first half
// of a text's SHA-256. 128 bits, so that no two clients ever share a bucket by
// accident or design.
type caller struct {
	hi, lo uint64
	text   bool
}

// callerOfAddress counts an IPv6 client by its /64, which is what one client
// gets.
func callerOfAddress(a netip.Addr) caller {
	b := a.As16()
	c := caller{hi: binary.BigEndian.Uint64(b[:8])}
	if a.Is4() || a.Is4In6() {
		c.lo = binary.BigEndian.Uint64(b[8:])
	}
	return c
}

func callerOfText(s string) caller {
	b := sha256.Sum256([]byte(s))
	return caller{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:16]), text: true}
}

// bucketKey names one bucket: a limit's number and the caller.
type bucketKey struct {
	hi, lo uint64
	limit  uint32
}

func keyOf(limit uint32, c caller) bucketKey {
	limit <<= 1
	if c.text {
		limit |= 1
	}
	return bucketKey{hi: c.hi, lo: c.lo, limit: limit}
}

// buckets are the rate limits' counters of this process. Their number is
// bounded; the one that was asked least recently gives way. Each call locks one
// shard, for the time it takes to find one bucket; no lock is held across keys.
type buckets struct {
	seed   maphash.Seed
	now    func() time.Time
	start  time.Time
	shards [bucketShards]bucketShard

	mu     sync.Mutex
	limits map[string]uint32 // numbers of limits by identity; asked at load only
}

// newBuckets holds at most about bound buckets: bound/64 in each shard.
func newBuckets(bound int, now func() time.Time) *buckets {
	b := &buckets{seed: maphash.MakeSeed(), now: now, start: now(), limits: map[string]uint32{}}
	for i := range b.shards {
		b.shards[i] = bucketShard{seed: b.seed, bound: max(bound/bucketShards, 1), newest: none, oldest: none}
	}
	return b
}

// limit returns the number of the limit with the given identity, always the
// same one: that is how buckets survive a reload.
func (b *buckets) limit(identity string) uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, ok := b.limits[identity]
	if !ok {
		n = uint32(len(b.limits))
		b.limits[identity] = n
	}
	return n
}

// take asks the caller's bucket of the limit for one token.
func (b *buckets) take(r rate, limit uint32, c caller) verdict {
	key := keyOf(limit, c)
	hash := maphash.Comparable(b.seed, key)
	now := int64(b.now().Sub(b.start))
	s := &b.shards[hash%bucketShards]
	s.mu.Lock()
	e := s.entry(key, hash)
	tat, v := r.take(e.tat, now)
	e.tat = tat
	s.mu.Unlock()
	return v
}

// refund gives a token back that take gave.
func (b *buckets) refund(r rate, limit uint32, c caller) {
	key := keyOf(limit, c)
	hash := maphash.Comparable(b.seed, key)
	s := &b.shards[hash%bucketShards]
	s.mu.Lock()
	e := s.entry(key, hash)
	e.tat = r.refund(e.tat)
	s.mu.Unlock()
}

// len counts the buckets.
func (b *buckets) len() int {
	n := 0
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}

// none ends a chain or the list.
const none = ^uint32(0)

// bucket is 40 bytes without a pointer: the garbage collector never looks at
// a million of them.
type bucket struct {
	hi, lo       uint64
	tat          int64
	limit        uint32
	newer, older uint32 // the list by last use
	chain        uint32 // the next one with the same place in the index
}

// key is not a field: it would cost the bucket 8 bytes of padding.
func (b *bucket) key() bucketKey { return bucketKey{hi: b.hi, lo: b.lo, limit: b.limit} }

// bucketShard is a hash table with chains and a list by last use, both of
// indices into entries.
type bucketShard struct {
	mu             sync.Mutex
	seed           maphash.Seed
	bound          int
	entries        []bucket
	index          []uint32 // heads of chains; a power of two
	newest, oldest uint32
}

// entry finds the key's bucket, or makes one, and marks it as just used.
func (s *bucketShard) entry(key bucketKey, hash uint64) *bucket {
	if len(s.index) > 0 {
		for i := s.index[s.place(hash)]; i != none; i = s.entries[i].chain {
			if e := &s.entries[i]; e.key() == key {
				s.touch(i)
				return e
			}
		}
	}
	i := s.room()
	place := s.place(hash)
	s.entries[i] = bucket{hi: key.hi, lo: key.lo, limit: key.limit, chain: s.index[place]}
	s.index[place] = i
	s.push(i)
	return &s.entries[i]
}

// place leaves out the bits that chose the shard.
func (s *bucketShard) place(hash uint64) uint32 { return uint32(hash>>32) & uint32(len(s.index)-1) }

// room returns an entry that is in neither list nor chain.
func (s *bucketShard) room() uint32 {
	if len(s.entries) < s.bound {
		if len(s.entries) == cap(s.entries) {
			s.grow()
		}
		s.entries = s.entries[:len(s.entries)+1]
		return uint32(len(s.entries) - 1)
	}
	i := s.oldest
	s.unlink(i)
	link := &s.index[s.place(maphash.Comparable(s.seed, s.entries[i].key()))]
	for *link != i {
		link = &s.entries[*link].chain
	}
	*link = s.entries[i].chain
	return i
}

// grow doubles the entries up to the bound, with an index of as many places or
// up to twice as many.
func (s *bucketShard) grow() {
	size := min(max(2*cap(s.entries), 8), s.bound)
	entries := make([]bucket, len(s.entries), size)
	copy(entries, s.entries)
	s.entries = entries
	places := 1 << bits.Len(uint(size-1))
	if places == len(s.index) {
		return
	}
	s.index = make([]uint32, places)
	for i := range s.index {
		s.index[i] = none
	}
	for i := range s.entries {
		place := s.place(maphash.Comparable(s.seed, s.entries[i].key()))
		s.entries[i].chain = s.index[place]
		s.index[place] = uint32(i)
	}
}

// touch makes i the newest.
func (s *bucketShard) touch(i uint32) {
	if i != s.newest {
		s.unlink(i)
		s.push(i)
	}
}

// push puts i before the newest.
func (s *bucketShard) push(i uint32) {
	e := &s.entries[i]
	e.newer, e.older = none, s.newest
	if s.newest != none {
		s.entries[s.newest].newer = i
	} else {
		s.oldest = i
	}
	s.newest = i
}

// unlink takes i out of the list.
func (s *bucketShard) unlink(i uint32) {
	e := &s.entries[i]
	if e.newer != none {
		s.entries[e.newer].older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != none {
		s.entries[e.older].newer = e.newer
	} else {
		s.oldest = e.newer
	}
}
