package jsonwire

import (
	"encoding/binary"
	"math/bits"
)

// nameTable finds fields by JSON name or proto name, made once per message.
type nameTable struct {
	slots []nameSlot // a power of two, at most half full
	shift uint
}

type nameSlot struct {
	name  string
	field *fieldPlan
}

func newNameTable(fields []*fieldPlan) nameTable {
	size := max(4, 1<<bits.Len(uint(4*len(fields))))
	t := nameTable{slots: make([]nameSlot, size), shift: uint(64 - bits.Len(uint(size-1)))}
	for _, f := range fields {
		t.add(f.desc.JSONName(), f)
	}
	for _, f := range fields {
		t.add(f.desc.TextName(), f)
	}
	return t
}

// add adds a name unless it is taken.
func (t *nameTable) add(name string, f *fieldPlan) {
	for i := hashName([]byte(name)) >> t.shift; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.field == nil {
			*s = nameSlot{name, f}
			return
		}
		if s.name == name {
			return
		}
	}
}

// find returns the field of a name, or nil.
func (t *nameTable) find(name []byte) *fieldPlan {
	for i := hashName(name) >> t.shift; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.field == nil || s.name == string(name) {
			return s.field
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
