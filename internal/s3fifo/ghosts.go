package s3fifo

import "hash/maphash"

// ghosts are the keys, each by a hash alone, of entries that were dropped a short time ago
// without having been used: one that comes again is not new.
type ghosts struct {
	known map[uint64]struct{}
	order []uint64 // a ring, the oldest at next
	next  int
}

// seed is the process's own: clients choose keys.
var seed = maphash.MakeSeed()

// note adds a key, and forgets old ones above a number.
func (g *ghosts) note(key string, most int) {
	h := maphash.String(seed, key)
	if _, ok := g.known[h]; ok {
		return
	}
	if g.known == nil {
		g.known = map[uint64]struct{}{}
	}
	g.known[h] = struct{}{}
	if len(g.order) < most {
		g.order = append(g.order, h)
		return
	}
	if g.next >= len(g.order) {
		g.next = 0
	}
	delete(g.known, g.order[g.next])
	g.order[g.next] = h
	g.next++
}

// forget takes a key out and reports whether it was there.
func (g *ghosts) forget(key string) bool {
	h := maphash.String(seed, key)
	_, ok := g.known[h]
	delete(g.known, h)
	return ok
}
