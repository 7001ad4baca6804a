package jsonwire

import (
	"hash/maphash"
	"slices"
)

// keySet remembers the keys of one map to notice one that comes twice. Keys are
// 64-bit: numbers as they are, strings by a hash with a secret seed.
type keySet struct {
	keys  []uint64
	table []uint32 // open addressing; place in keys plus one
}

var (
	keySeed = maphash.MakeSeed()
	// keyMix is odd and secret, so that no client can aim at one place of a table.
	keyMix = maphash.String(keySeed, "jsonwire") | 1
)

func hashKey(b []byte) uint64 { return maphash.Bytes(keySeed, b) }

// few is the number of keys that are compared one by one.
const few = 12

// add reports whether the key is new.
func (s *keySet) add(key uint64) bool {
	if len(s.keys) < few {
		for _, k := range s.keys {
			if k == key {
				return false
			}
		}
		s.keys = append(s.keys, key)
		return true
	}
	if 2*len(s.keys) >= len(s.table) {
		s.grow()
	}
	i := s.place(key)
	if s.table[i] != 0 {
		return false
	}
	s.keys = append(s.keys, key)
	s.table[i] = uint32(len(s.keys))
	return true
}

// addIf is add that only looks unless keep.
func (s *keySet) addIf(key uint64, keep bool) bool {
	if keep {
		return s.add(key)
	}
	if len(s.table) == 0 {
		return !slices.Contains(s.keys, key)
	}
	return s.table[s.place(key)] == 0
}

// place returns where the key is or belongs.
func (s *keySet) place(key uint64) int {
	mask := len(s.table) - 1
	h := (key ^ key>>29) * keyMix
	i := int(h>>32) & mask
	for s.table[i] != 0 && s.keys[s.table[i]-1] != key {
		i = (i + 1) & mask
	}
	return i
}

func (s *keySet) grow() {
	size := max(64, 2*len(s.table))
	if cap(s.table) >= size {
		s.table = s.table[:size]
		clear(s.table)
	} else {
		s.table = make([]uint32, size)
	}
	for n, k := range s.keys {
		s.table[s.place(k)] = uint32(n + 1)
	}
}

// keySets are the sets of the maps that are open at once.
type keySets struct {
	sets []*keySet
	open int
}

// take opens an empty set.
func (s *keySets) take() *keySet {
	if s.open == len(s.sets) {
		s.sets = append(s.sets, new(keySet))
	}
	set := s.sets[s.open]
	s.open++
	set.keys, set.table = set.keys[:0], set.table[:0]
	return set
}

// release closes the set opened last.
func (s *keySets) release() { s.open-- }

// shrink closes all sets and lets go of memory worth more than a few maps.
func (s *keySets) shrink() {
	s.open = 0
	for _, set := range s.sets {
		if cap(set.keys)+cap(set.table) > maxKept/8 {
			*set = keySet{}
		}
	}
	if len(s.sets) > 8 {
		clear(s.sets[8:])
		s.sets = s.sets[:8]
	}
}

// maxKept bounds, in bytes, the scratch memory that a pooled converter keeps of
// each kind.
const maxKept = 64 << 10
