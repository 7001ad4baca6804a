package jsonwire

import (
	"encoding/binary"
	"math/bits"
)

// nameTable finds fields, or values of an enum, by name; made once per type.
type nameTable[T any] struct {
	slots []nameSlot[T] // a power of two, at most half full
	shift uint
}

type nameSlot[T any] struct {
	name  string
	taken bool
	value T
}

func newNameTable[T any](names int) nameTable[T] {
	size := max(4, 1<<bits.Len(uint(2*names)))
	return nameTable[T]{slots: make([]nameSlot[T], size), shift: uint(64 - bits.Len(uint(size-1)))}
}

// fieldNames finds fields by JSON name or proto name.
func fieldNames(fields []*fieldPlan) nameTable[*fieldPlan] {
	t := newNameTable[*fieldPlan](2 * len(fields))
	for _, f := range fields {
		t.add(f.desc.JSONName(), f)
	}
	for _, f := range fields {
		t.add(f.desc.TextName(), f)
	}
	return t
}

// add adds a name unless it is taken.
func (t *nameTable[T]) add(name string, value T) {
	for i := hashName([]byte(name)) >> t.shift; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if !s.taken {
			*s = nameSlot[T]{name, true, value}
			return
		}
		if s.name == name {
			return
		}
	}
}

// find returns what a name stands for.
func (t *nameTable[T]) find(name []byte) (value T, ok bool) {
	for i := hashName(name) >> t.shift; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if !s.taken || s.name == string(name) {
			return s.value, s.taken
		}
	}
}

// hashName spreads names by length, first and last bytes. Clients cannot add
// names, so it need not be strong.
func hashName(b []byte) uint64 {
	const a, c = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	h := uint64(len(b))
	switch {
	case len(b) >= 8:
		h ^= binary.LittleEndian.Uint64(b)*a ^ bits.RotateLeft64(binary.LittleEndian.Uint64(b[len(b)-8:])*c, 32)
	default:
		for _, x := range b {
			h = h<<8 ^ h>>56 ^ uint64(x)
		}
	}
	h ^= h >> 32
	return h * a
}
