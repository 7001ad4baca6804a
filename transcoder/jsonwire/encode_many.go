package jsonwire

import (
	"encoding/binary"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// list appends a repeated field as long as its elements follow each other. b
// stands after the first tag, whose wire type is typ; dst ends with the bracket.
func (e *encoder) list(dst []byte, f *fieldPlan, b []byte, typ protowire.Type) ([]byte, []byte, error) {
	var err error
	for i := 0; ; {
		if typ == protowire.BytesType && f.packable {
			chunk, rest, ok := bytesIn(b)
			if !ok {
				return dst, b, e.malformed(b)
			}
			for len(chunk) > 0 {
				if f.op <= lastVarint && chunk[0] < 0x80 {
					dst, chunk = e.varint(dst, f, uint64(chunk[0])), chunk[1:]
				} else if dst, chunk, err = e.value(dst, f, chunk); err != nil {
					return dst, b, belowIndex(err, i)
				}
				dst = append(dst, ',')
				i++
				if len(dst) > e.room {
					if dst, err = e.overflow(dst); err != nil {
						return dst, b, err
					}
				}
			}
			b = rest
		} else {
			if f.op == opMessage {
				m, rest, ok := bytesIn(b)
				if !ok {
					return dst, b, e.malformed(b)
				}
				dst, err = e.message(dst, f.message(), m)
				b = rest
			} else {
				dst, b, err = e.value(dst, f, b)
			}
			if err != nil {
				return dst, b, belowIndex(err, i)
			}
			dst = append(dst, ',')
			i++
			if len(dst) > e.room {
				if dst, err = e.overflow(dst); err != nil {
					return dst, b, err
				}
			}
		}
		var n int
		if typ, n = f.next(b); n == 0 {
			return closed(dst, ']'), b, nil
		}
		b = b[n:]
	}
}

// next reports whether another element of the field follows: n is the length of its
// tag, 0 for none.
func (f *fieldPlan) next(b []byte) (typ protowire.Type, n int) {
	if f.tagByte != 0 {
		if len(b) > 0 && b[0] == f.tagByte {
			return f.typ, 1
		}
		if !f.packable {
			return 0, 0
		}
	}
	if n = len(f.tag); len(b) > n && string(b[:n]) == f.tag {
		return f.typ, n
	}
	if n = len(f.packedTag); f.packable && len(b) > n && string(b[:n]) == f.packedTag {
		return protowire.BytesType, n
	}
	return 0, 0
}

// entry is one entry of a map on the wire.
type entry struct {
	key, value       []byte // from where they stand to the end of the entry
	hasKey, hasValue bool
}

// entryOf finds key and value of a map entry. again tells that one comes twice.
func entryOf(f *fieldPlan, b []byte) (en entry, again, ok bool) {
	if f.mapKey.op == opString && len(b) > 2 && b[0] == 1<<3|byte(protowire.BytesType) {
		// Nearly always it is a key and a value.
		if _, rest, ok := bytesIn(b[1:]); ok && len(rest) > 1 && rest[0] == 2<<3|byte(f.mapVal.typ) {
			if n := protowire.ConsumeFieldValue(2, f.mapVal.typ, rest[1:]); n == len(rest)-1 {
				return entry{key: b[1:], value: rest[1:], hasKey: true, hasValue: true}, false, true
			}
		}
	}
	for len(b) > 0 {
		num, typ, n := tagOf(b)
		if n == 0 || num == 0 {
			return en, false, false
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return en, false, false
		}
		switch {
		case num == 1 && typ == f.mapKey.typ:
			again = again || en.hasKey
			en.key, en.hasKey = b[n:], true
		case num == 2 && typ == f.mapVal.typ:
			again = again || en.hasValue
			en.value, en.hasValue = b[n:], true
		}
		b = b[n+m:]
	}
	return en, again, true
}

// textEntry splits an entry of a map of strings that is short, a key and then a
// value; ok is false for any other.
func textEntry(b []byte) (key, value []byte, ok bool) {
	const keyTag, valueTag = 1<<3 | 2, 2<<3 | 2
	if len(b) < 4 || b[0] != keyTag || b[1] >= 0x80 {
		return nil, nil, false
	}
	at := 2 + int(b[1])
	if at+1 >= len(b) || b[at] != valueTag || b[at+1] >= 0x80 || at+2+int(b[at+1]) != len(b) {
		return nil, nil, false
	}
	return b[2:at], b[at+2:], true
}

// mapping appends a map as long as its entries follow each other. b stands after
// the first tag; dst ends with the brace.
func (e *encoder) mapping(dst []byte, f *fieldPlan, b []byte) ([]byte, []byte, error) {
	keys := e.sets.take()
	var err error
	for {
		if len(dst) > e.room {
			if dst, err = e.overflow(dst); err != nil {
				return dst, b, err
			}
		}
		body, rest, ok := bytesIn(b)
		if !ok {
			return dst, b, e.malformed(b)
		}
		at := len(dst)
		if f.texts {
			if name, text, ok := textEntry(body); ok {
				var okKey, okText bool
				dst, okKey = appendText(append(dst, '"'), name)
				dst = append(dst, '"', ':', '"')
				dst, okText = appendText(dst, text)
				dst = append(dst, '"', ',')
				if okKey && okText {
					if !e.exact && !keys.add(hashName(name)) {
						return dst, b, errAgain
					}
					b = rest
					_, n := f.next(b)
					if n == 0 {
						e.sets.release()
						return closed(dst, '}'), b, nil
					}
					b = b[n:]
					continue
				}
				dst = dst[:at] // again, for the error
			}
		}
		en, again, ok := entryOf(f, body)
		if !ok {
			return dst, b, e.malformed(body)
		}
		if again {
			return dst, b, errAgain
		}
		var key uint64
		if dst, key, err = e.mapKey(dst, f.mapKey, en); err != nil {
			return dst, b, err
		}
		if !e.exact && !keys.add(key) {
			return dst, b, errAgain
		}
		dst = append(dst, ':')
		if dst, err = e.mapValue(dst, f.mapVal, en); err != nil {
			return dst, b, belowKey(err, e.keyName(f.mapKey, en))
		}
		dst = append(dst, ',')
		b = rest
		_, n := f.next(b)
		if n == 0 {
			e.sets.release()
			return closed(dst, '}'), b, nil
		}
		b = b[n:]
	}
}

// mapKey appends the key of an entry, quoted. The number is its identity.
func (e *encoder) mapKey(dst []byte, f *fieldPlan, en entry) ([]byte, uint64, error) {
	if f.op == opString {
		var s []byte
		if en.hasKey {
			s, _, _ = bytesIn(en.key)
		}
		if len(s) > longText {
			dst, err := e.longText(append(dst, '"'), s)
			return append(dst, '"'), hashName(s), err
		}
		dst, ok := appendString(dst, s)
		if !ok {
			return dst, 0, e.fail(en.key, "map key is not valid UTF-8")
		}
		// A weak hash is enough: where two keys have the same, the exact way decides.
		return dst, hashName(s), nil
	}
	at := len(dst)
	quoted := f.op.is64() && !e.Int64Numbers
	if !quoted {
		dst = append(dst, '"')
	}
	if en.hasKey {
		dst, _, _ = e.value(dst, f, en.key) // well-formed, says entryOf
	} else {
		switch {
		case f.op == opBool:
			dst = append(dst, "false"...)
		case quoted:
			dst = append(dst, `"0"`...)
		default:
			dst = append(dst, '0')
		}
	}
	if !quoted {
		dst = append(dst, '"')
	}
	return dst, textKey(dst[at+1 : len(dst)-1]), nil
}

// keyName is the key of an entry for an error.
func (e *encoder) keyName(f *fieldPlan, en entry) string {
	if f.op == opString {
		if !en.hasKey {
			return ""
		}
		s, _, _ := bytesIn(en.key)
		return string(s[:min(len(s), maxPath)])
	}
	text, _, err := e.mapKey(nil, f, en)
	if err != nil || len(text) < 2 {
		return ""
	}
	return string(text[1 : len(text)-1])
}

// textKey is the identity of a key that is a number or a truth value, by its text.
func textKey(b []byte) uint64 {
	if len(b) <= 8 {
		var word [8]byte
		copy(word[:], b)
		return binary.LittleEndian.Uint64(word[:])
	}
	return hashName(b)
}

// mapValue appends the value of an entry.
func (e *encoder) mapValue(dst []byte, f *fieldPlan, en entry) ([]byte, error) {
	if en.hasValue {
		dst, _, err := e.value(dst, f, en.value)
		return dst, err
	}
	if f.op == opMessage {
		return e.message(dst, f.message(), nil)
	}
	if e.EnumNumbers && f.op == opEnum {
		return strconv.AppendInt(dst, int64(f.desc.Default().Enum()), 10), nil
	}
	if e.Int64Numbers && f.op.is64() {
		return append(dst, '0'), nil
	}
	return append(dst, f.zeroText()...), nil
}
