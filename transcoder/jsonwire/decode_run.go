package jsonwire

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// run writes the fields at the position as long as they are what most JSON is
// made of: scalars in the order of declaration, with no white space, escapes or
// other alphabets. It keeps its place in local variables, which is what makes it
// fast, and leaves everything else to fields. It returns the field to expect next
// and whether the position is after a value. Where it is not, f is the field whose
// key the position is after; without f the position is at a key.
func (d *decoder) run(p *Plan, next int, seen *seenBits) (expect int, f *fieldPlan, after bool) {
	in, pos, out := d.in, d.pos, d.out
	for next < len(p.fields) && pos+8 <= len(in) {
		head := binary.LittleEndian.Uint64(in[pos:])
		f = p.fields[next]
		if head&f.mask != f.head {
			if next+1 == len(p.fields) {
				f = nil
				break
			}
			if f = p.fields[next+1]; head&f.mask != f.head {
				f = nil
				break
			}
		}
		at := pos + len(f.keys[0])
		if !f.isKeyTail(in, pos, at) {
			f = nil
			break
		}
		if !f.simple || seen.first&(1<<f.bit) != 0 {
			pos = at
			break
		}
		var end int
		if f.op == opString {
			out, end = appendPlain(out, f, in, at, d.keep)
		} else {
			out, end = appendNumber(out, f, in, at, d.keep)
		}
		if end == 0 {
			pos = at
			break
		}
		seen.first |= 1 << f.bit
		next, pos = f.bit+1, end
		f = nil
		if pos+1 < len(in) && in[pos] == ',' && in[pos+1] == '"' {
			pos++
			continue
		}
		d.pos, d.out = pos, out
		return next, nil, true
	}
	d.pos, d.out = pos, out
	return next, f, false
}

// isKeyTail reports whether the field's JSON name, quoted and with its colon, stands
// between two offsets, where its head was found. It compares words: a call to
// compare strings takes longer.
func (f *fieldPlan) isKeyTail(in []byte, pos, end int) bool {
	n := end - pos
	if n <= 8 {
		return true
	}
	if end > len(in) || binary.LittleEndian.Uint64(in[end-8:]) != f.tail {
		return false
	}
	return n <= 16 || string(in[pos+8:end-8]) == f.keys[0][8:n-8]
}

// appendPlain writes a string field whose value stands at the offset at, and
// returns the offset after it; 0 where the string is not plain ASCII.
func appendPlain(out []byte, f *fieldPlan, in []byte, at int, keep bool) ([]byte, int) {
	end := plainEnd(in, at)
	if end == 0 {
		return out, 0
	}
	text := in[at+1 : end]
	if len(text) == 0 && f.implicit && !keep {
		return out, end + 1
	}
	if f.tagByte != 0 {
		out = append(out, f.tagByte)
	} else {
		out = append(out, f.tag...)
	}
	out = appendUvarint(out, uint64(len(text)))
	return append(out, text...), end + 1
}

// plainEnd returns where the string at the offset at has its closing quote, if it
// is plain ASCII without escapes; else 0.
func plainEnd(in []byte, at int) int {
	if at >= len(in) || in[at] != '"' {
		return 0
	}
	i := at + 1
	for ; i+8 <= len(in); i += 8 {
		if m := unusual(binary.LittleEndian.Uint64(in[i:])); m != 0 {
			if i += bits.TrailingZeros64(m) >> 3; in[i] == '"' {
				return i
			}
			return 0
		}
	}
	for ; i < len(in); i++ {
		if c := in[i]; c == '"' {
			return i
		} else if c < 0x20 || c == '\\' || c >= 0x80 {
			return 0
		}
	}
	return 0
}

// appendNumber writes a number or truth value that stands at the offset at, and
// returns the offset after it; 0 for what is not short and plain.
func appendNumber(out []byte, f *fieldPlan, in []byte, at int, keep bool) ([]byte, int) {
	rest := in[at:]
	var word uint64
	var end int
	switch f.op {
	case opBool:
		switch {
		case len(rest) > 4 && string(rest[:4]) == "true" && !inWord(rest[4]):
			word, end = 1, at+4
		case len(rest) > 5 && string(rest[:5]) == "false" && !inWord(rest[5]):
			end = at + 5
		default:
			return out, 0
		}
	case opDouble:
		v, n := shortFloat(rest)
		if n == 0 {
			return out, 0
		}
		word, end = math.Float64bits(v), at+n
	default:
		quote := 0
		if len(rest) > 0 && rest[0] == '"' {
			quote = 1
		}
		neg, magnitude, n := shortInteger(rest[quote:])
		if n == 0 {
			return out, 0
		}
		if end = at + n; quote == 1 {
			if end += 2; end > len(in) || in[end-1] != '"' {
				return out, 0
			}
		}
		var ok bool
		if word, ok = integerBits(f.op, neg, magnitude); !ok {
			return out, 0
		}
	}
	if word == 0 && f.implicit && !keep {
		return out, end
	}
	out = append(out, f.tag...)
	switch f.typ {
	case 0:
		return appendUvarint(out, word), end
	case 1:
		return binary.LittleEndian.AppendUint64(out, word), end
	}
	return binary.LittleEndian.AppendUint32(out, uint32(word)), end
}

// shortIntegers writes the integers at the position that a comma and another
// number follow, and returns how many. It leaves the last one.
func (d *decoder) shortIntegers(f *fieldPlan) int {
	if f.op == opBool || f.op > opUint64 {
		return 0
	}
	in, pos, out := d.in, d.pos, d.out
	count := 0
	for {
		neg, magnitude, n := shortInteger(in[pos:])
		if n == 0 || pos+n+1 >= len(in) || in[pos+n] != ',' || in[pos+n+1] != '-' && in[pos+n+1]-'0' > 9 {
			break
		}
		word, ok := integerBits(f.op, neg, magnitude)
		if !ok {
			break
		}
		out = appendUvarint(out, word)
		pos += n + 1
		count++
	}
	d.pos, d.out = pos, out
	return count
}
