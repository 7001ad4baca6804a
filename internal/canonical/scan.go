package canonical

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// scan reports whether a message has the form. It does not look at all of one that has not.
func (f *Form) scan(m []byte, depth int) (bool, error) {
	if depth > MaxDepth {
		return false, ErrDepth
	}
	var s scanner
	for len(m) > 0 {
		number, t, n := protowire.ConsumeTag(m)
		if n < 0 {
			return false, ErrSyntax
		}
		i := f.find(number)
		if i < 0 || !f.fields[i].fits(t) {
			s.unknown = true
			rest := protowire.ConsumeFieldValue(number, t, m[n:])
			if rest < 0 {
				return false, ErrSyntax
			}
			m = m[n+rest:]
			continue
		}
		one := &f.fields[i]
		if n != protowire.SizeTag(number) || !s.follows(one, t) {
			return false, nil
		}
		size, same, err := one.scan(m[n:], &s, depth)
		if err != nil || !same {
			return false, err
		}
		m = m[n+size:]
	}
	return true, nil
}

// scanner is what scan has seen of a message.
type scanner struct {
	last    protowire.Number
	oneofs  uint64 // of which there was a member
	unknown bool
	key     []byte // of the last map entry
	entries protowire.Number
}

// maxOneofs is how many oneofs of a message scan looks at.
const maxOneofs = 64

// follows reports whether a field may stand where it does, with its wire type.
func (s *scanner) follows(one *field, t protowire.Type) bool {
	again := one.number == s.last
	if s.unknown || one.number < s.last || again && (!one.list && !one.isMap || one.packed) {
		return false
	}
	s.last = one.number
	if one.packable() && one.packed != (t == protowire.BytesType) {
		return false
	}
	if one.oneof >= 0 && one.oneof < maxOneofs {
		bit := uint64(1) << one.oneof
		if s.oneofs&bit != 0 {
			return false
		}
		s.oneofs |= bit
	}
	return one.oneof < maxOneofs
}

// scan reports whether the value at the beginning of m has the form, and its size.
func (one *field) scan(m []byte, s *scanner, depth int) (size int, same bool, err error) {
	if one.kind == group {
		inner, n := protowire.ConsumeGroup(one.number, m)
		if n < 0 {
			return 0, false, ErrSyntax
		}
		if n != len(inner)+protowire.SizeTag(one.number) {
			return 0, false, nil
		}
		same, err = one.of.scan(inner, depth+1)
		return n, same, err
	}
	if one.kind < text && !one.packed {
		size, zero, same := one.kind.scan(m)
		if size < 0 {
			return 0, false, ErrSyntax
		}
		return size, same && !(zero && one.implicit), nil
	}
	inner, n := protowire.ConsumeBytes(m)
	switch {
	case n < 0:
		return 0, false, ErrSyntax
	case n != protowire.SizeBytes(len(inner)):
		return 0, false, nil
	case one.isMap:
		same, err = one.entry(inner, s, depth)
	case one.kind == nested:
		same, err = one.of.scan(inner, depth+1)
	case one.packed:
		same, err = one.kind.pack(inner)
	default:
		same = len(inner) > 0 || !one.implicit
	}
	return n, same, err
}

// scan reports whether a scalar at the beginning of m has the form and is zero; size is
// negative where there is none.
func (k kind) scan(m []byte) (size int, zero, same bool) {
	switch k {
	case fixed32:
		v, n := protowire.ConsumeFixed32(m)
		return n, v == 0, true
	case fixed64:
		v, n := protowire.ConsumeFixed64(m)
		return n, v == 0, true
	}
	v, n := protowire.ConsumeVarint(m)
	return n, v == 0, n == protowire.SizeVarint(v) && v == k.cut(v)
}

// pack reports whether a packed list has the form: it is not empty.
func (k kind) pack(m []byte) (bool, error) {
	if len(m) == 0 {
		return false, nil
	}
	for len(m) > 0 {
		n, _, same := k.scan(m)
		if n < 0 {
			return false, ErrSyntax
		}
		if !same {
			return false, nil
		}
		m = m[n:]
	}
	return true, nil
}

// entry reports whether a map entry has the form: its key and its value, behind an entry with
// a smaller key.
func (one *field) entry(m []byte, s *scanner, depth int) (bool, error) {
	key, value := &one.of.fields[0], &one.of.fields[1]
	if len(m) == 0 || m[0] != byte(protowire.EncodeTag(1, key.wire())) {
		return false, nil
	}
	var none scanner
	size, same, err := key.scan(m[1:], &none, depth)
	if err != nil || !same {
		return false, err
	}
	raw := m[1 : 1+size]
	if s.entries == one.number && key.compare(s.key, raw) >= 0 {
		return false, nil
	}
	s.entries, s.key = one.number, raw
	m = m[1+size:]
	if len(m) == 0 || m[0] != byte(protowire.EncodeTag(2, value.wire())) {
		return false, nil
	}
	size, same, err = value.scan(m[1:], &none, depth)
	return same && 1+size == len(m), err
}

// compare orders the keys of a map, as they are written, in their form.
func (one *field) compare(a, b []byte) int {
	if one.kind == text {
		a, _ = protowire.ConsumeBytes(a)
		b, _ = protowire.ConsumeBytes(b)
		return bytes.Compare(a, b)
	}
	x, y := one.order(a), one.order(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// order gives a number by which keys are in order: two's complement as it is, so that
// negative ones are last. Any order does, as long as it is one.
func (one *field) order(raw []byte) uint64 {
	switch one.kind {
	case fixed32:
		v, _ := protowire.ConsumeFixed32(raw)
		return uint64(v)
	case fixed64:
		v, _ := protowire.ConsumeFixed64(raw)
		return v
	}
	v, _ := protowire.ConsumeVarint(raw)
	return v
}
