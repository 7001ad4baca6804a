package jsonwire

import (
	"math"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields that are not set stand among the others in the order of their numbers,
// written in the one pass over the data: before a field come those of lower
// numbers. Serialisers write fields in this order, but not the loose ones. Where
// the data turns out to be in another order, a field comes after it was written as
// not set; then the conversion begins again and writes those fields at the end.

const (
	// nearSlots is how many slots are kept in one word.
	nearSlots = 63
	// farSlots is the bit for all others, which is always set.
	farSlots uint64 = 1 << nearSlots
)

// rare is what few messages need while they are written.
type rare struct {
	// seen are the fields of far slots that came.
	seen seenBits
	// more counts the fields of Plan.unsetMore that are behind.
	more int
	// place is that of the next field that is not loose, and left how many bytes are
	// left where it stands; known tells that they were looked for.
	place protowire.Number
	left  int
	known bool
}

// odd takes what is not just the next field in the order of numbers: f, whose tag b
// begins with, comes the second time, or is far, or fields before it are not set,
// which it writes. It returns the slots that were seen, without f's own.
func (e *encoder) odd(dst []byte, p *Plan, f *fieldPlan, b []byte, seen uint64, r *rare) ([]byte, uint64, error) {
	if f.mark == farSlots {
		return e.far(dst, p, f, b, seen, r)
	}
	if seen&f.mark != 0 && !e.exact {
		return dst, seen, errAgain
	}
	return e.unsetBefore(dst, p, f, b, seen, r)
}

// unsetBefore writes the fields that are not set, of near slots, that belong before
// f, whose tag b begins with.
func (e *encoder) unsetBefore(dst []byte, p *Plan, f *fieldPlan, b []byte, seen uint64, r *rare) ([]byte, uint64, error) {
	absent := p.unsetBits[e.early] &^ seen & f.before
	if f.loose && absent != 0 {
		absent = p.below(absent, e.limit(p, f, b, r))
	}
	if missing := absent & p.requiredBits; missing != 0 && !e.partial {
		return dst, seen, e.missing(p.byNumber[bits.TrailingZeros64(missing)], b)
	}
	return e.unsetSlots(dst, p, absent), seen | absent, nil
}

// below returns those of the slots whose fields have numbers below the limit.
func (p *Plan) below(slots uint64, limit protowire.Number) uint64 {
	for slots != 0 {
		last := bits.Len64(slots) - 1
		if p.byNumber[last].num < limit {
			break
		}
		slots &^= 1 << last
	}
	return slots
}

// unsetSlots writes the fields of the slots.
func (e *encoder) unsetSlots(dst []byte, p *Plan, slots uint64) []byte {
	for ; slots != 0; slots &= slots - 1 {
		dst = e.appendUnset(dst, p.byNumber[bits.TrailingZeros64(slots)])
	}
	return dst
}

// far is odd for a field that is not among the near slots.
func (e *encoder) far(dst []byte, p *Plan, f *fieldPlan, b []byte, seen uint64, r *rare) ([]byte, uint64, error) {
	if r.seen.more == nil {
		r.seen.more, e.words = takeWords(e.words, p.bits+1)
	}
	if !r.seen.see(f.slot) && !e.exact {
		return dst, seen, errAgain
	}
	dst, seen, err := e.unsetBefore(dst, p, f, b, seen, r)
	if err != nil || e.early == unsetOmitted || r.more == len(p.unsetMore) || p.unsetMore[r.more].num >= f.num {
		return dst, seen, err
	}
	limit := e.limit(p, f, b, r)
	for ; r.more < len(p.unsetMore) && p.unsetMore[r.more].num < limit; r.more++ {
		if g := p.unsetMore[r.more]; r.seen.see(g.slot) {
			if g.required > 0 && !e.partial {
				return dst, seen, e.missing(g, b)
			}
			dst = e.appendUnset(dst, g)
		}
	}
	return dst, seen, nil
}

// has reports whether a field came.
func (r *rare) has(seen uint64, f *fieldPlan) bool {
	if f.mark == farSlots {
		return r.seen.has(f.slot)
	}
	return seen&f.mark != 0
}

// unsetAfter writes the fields that are not set after all data: those of the absent
// slots, and those after the first 64.
func (e *encoder) unsetAfter(dst []byte, p *Plan, absent uint64, r *rare) []byte {
	dst = e.unsetSlots(dst, p, absent)
	for _, f := range p.unsetMore[r.more:] {
		if !r.seen.has(f.slot) { // it is far
			dst = e.appendUnset(dst, f)
		}
	}
	return dst
}

// appendUnset writes a field that is not set.
func (e *encoder) appendUnset(dst []byte, f *fieldPlan) []byte {
	if f.implicit && (e.EnumNumbers && f.op == opEnum || e.Int64Numbers && f.op.is64()) {
		dst = append(dst, f.keys[e.names]...)
		return append(dst, '0', ',')
	}
	if text := f.unset[e.unset][e.names]; text != nil {
		dst = text.appendTo(dst)
	}
	return dst
}

// missing is the error of a required field that is not set.
func (e *encoder) missing(f *fieldPlan, b []byte) error {
	return e.fail(b, "required field %s is not set", f.desc.Name())
}

// limit returns the number below which fields that are not set belong before f,
// whose tag b begins with. A loose field may stand before fields of lower numbers:
// none of these may be written that is still to come.
func (e *encoder) limit(p *Plan, f *fieldPlan, b []byte, r *rare) protowire.Number {
	if !f.loose {
		return f.num
	}
	if !r.known || len(b) <= r.left {
		r.known = true
		r.place, r.left = e.nextPlace(p, b)
	}
	return min(f.num, r.place)
}

// nextPlace returns the place of the first field in b that is not loose, and how
// many bytes are left where it stands. Past the last one the place is beyond all
// numbers; it is 0 where the search would take too long.
func (e *encoder) nextPlace(p *Plan, b []byte) (place protowire.Number, left int) {
	for len(b) > 0 {
		num, typ, n := tagOf(b)
		if n == 0 || num == 0 {
			break // the conversion will find it
		}
		f := p.field(num)
		if f != nil && !f.loose && (typ == f.typ || f.packable && typ == protowire.BytesType) {
			return f.num, len(b)
		}
		if typ == protowire.StartGroupType && e.scanned > len(e.wire) {
			return 0, len(b) - 1 // groups within groups would be looked through at each level
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			break // malformed, or the end of the group that b is in
		}
		if typ == protowire.StartGroupType {
			e.scanned += m
		}
		b = b[n+m:]
	}
	return math.MaxInt32, len(b)
}
