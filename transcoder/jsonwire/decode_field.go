package jsonwire

import (
	"encoding/binary"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// field writes a field, with its tag, from the value at the position.
func (d *decoder) field(f *fieldPlan) error {
	if d.isNullFor(f) {
		if !d.literal("null") {
			return d.expected("a value")
		}
		return nil
	}
	switch f.card {
	case list:
		d.repeated++
		err := d.list(f)
		d.repeated--
		return err
	case mapping:
		d.repeated++
		err := d.mapping(f)
		d.repeated--
		return err
	}
	_, err := d.single(f, f.implicit && !d.keep)
	return err
}

// single writes one value with its tag, nothing for a zero that is to be omitted.
// It returns false for a value to be ignored.
func (d *decoder) single(f *fieldPlan, omitZero bool) (bool, error) {
	switch f.op {
	case opString:
		if d.pos >= len(d.in) || d.in[d.pos] != '"' {
			return false, d.expected("a string")
		}
		s, err := d.string()
		if err != nil {
			return false, err
		}
		if len(s) > 0 || !omitZero {
			d.out = append(d.out, f.tag...)
			d.out = appendUvarint(d.out, uint64(len(s)))
			d.out = append(d.out, s...)
		}
		return true, nil
	case opMessage:
		d.out = append(d.out, f.tag...)
		d.out = append(d.out, 0)
		at := len(d.out)
		if err := d.message(f.message()); err != nil {
			return false, err
		}
		d.out = closeLength(d.out, at)
		return true, nil
	case opGroup:
		d.out = append(d.out, f.tag...)
		err := d.message(f.message())
		d.out = append(d.out, f.endTag...)
		return true, err
	case opBytes:
		return true, d.bytes(f, omitZero)
	}
	bits, ok, err := d.scalar(f)
	if err != nil || !ok {
		return false, err
	}
	if bits == 0 && omitZero {
		return true, nil
	}
	d.out = append(d.out, f.tag...)
	d.appendScalar(f, bits)
	return true, nil
}

// appendScalar writes a number's bits as the wire has them.
func (d *decoder) appendScalar(f *fieldPlan, bits uint64) {
	switch {
	case f.op <= lastVarint:
		d.out = appendUvarint(d.out, bits)
	case f.op <= opFloat:
		d.out = binary.LittleEndian.AppendUint32(d.out, uint32(bits))
	default:
		d.out = binary.LittleEndian.AppendUint64(d.out, bits)
	}
}

// list writes a repeated field from the array at the position.
func (d *decoder) list(f *fieldPlan) error {
	if d.pos >= len(d.in) || d.in[d.pos] != '[' {
		return d.expected("an array")
	}
	if err := d.open(); err != nil {
		return err
	}
	if d.space() == ']' {
		_, err := d.more(']')
		return err
	}
	mark, at := len(d.out), 0
	if f.packed {
		d.out = openLength(append(d.out, f.packedTag...))
		at = len(d.out)
	}
	more := true
	var err error
	for i := 0; more; i++ {
		if f.packed {
			i += d.shortIntegers(f)
			bits, ok, err := d.scalar(f)
			if err != nil {
				return belowIndex(err, i)
			}
			if ok {
				d.appendScalar(f, bits)
			}
		} else if f.op != opString || !d.plain(f) {
			if _, err = d.single(f, false); err != nil {
				return belowIndex(err, i)
			}
		}
		if more, err = d.more(']'); err != nil {
			return err
		}
	}
	if f.packed {
		if len(d.out) == at {
			d.out = d.out[:mark] // all elements were unknown enums
			return nil
		}
		d.out = closeLength(d.out, at)
	}
	return nil
}

// plain writes a string if it is plain ASCII without escapes.
func (d *decoder) plain(f *fieldPlan) bool {
	out, end := appendPlain(d.out, f, d.in, d.pos, true)
	if end == 0 {
		return false
	}
	d.out, d.pos = out, end
	return true
}

// mapping writes a map from the object at the position.
func (d *decoder) mapping(f *fieldPlan) error {
	if d.pos >= len(d.in) || d.in[d.pos] != '{' {
		return d.expected("an object")
	}
	if err := d.open(); err != nil {
		return err
	}
	if d.space() == '}' {
		_, err := d.more('}')
		return err
	}
	keys := d.sets.take()
	for more := true; more; {
		mark, start := len(d.out), d.pos
		name, err := d.name()
		if err != nil {
			return err
		}
		d.out = openLength(append(d.out, f.tag...))
		at := len(d.out)
		key, err := d.mapKey(f.mapKey, name, start)
		if err != nil {
			return err
		}
		d.space()
		written := f.texts && d.plain(f.mapVal)
		if !written {
			written, err = d.single(f.mapVal, false)
		}
		if err != nil {
			return d.belowKeyAt(err, start)
		}
		if !keys.addIf(key, written) {
			return d.failAt(start, "duplicate map key %s", clip(string(d.in[start:d.keyEnd(start)])))
		}
		if written {
			d.out = closeLength(d.out, at)
		} else {
			d.out = d.out[:mark]
		}
		if more, err = d.more('}'); err != nil {
			return err
		}
	}
	d.sets.release()
	return nil
}

// keyEnd returns where the key ends that begins at start and was read before.
func (d *decoder) keyEnd(start int) int {
	again := decoder{in: d.in, pos: start}
	_, _ = again.string()
	return again.pos
}

// belowKeyAt puts the key that begins at start before the path of an error.
func (d *decoder) belowKeyAt(err error, start int) error {
	again := decoder{in: d.in, pos: start}
	name, nameErr := again.string()
	if nameErr != nil {
		return err
	}
	return belowKey(err, string(name))
}

// mapKey writes the key of an entry. The number is its identity.
func (d *decoder) mapKey(f *fieldPlan, name []byte, start int) (uint64, error) {
	d.out = append(d.out, f.tag...)
	if f.op == opString {
		d.out = appendUvarint(d.out, uint64(len(name)))
		d.out = append(d.out, name...)
		return hashKey(name), nil
	}
	bits, ok := keyBits(f.op, name)
	if !ok {
		return 0, d.failAt(start, "map key %s is not %s", quote(string(name)), f.op.what())
	}
	d.appendScalar(f, bits)
	return bits, nil
}

// keyBits reads the text of a map key that is no string.
func keyBits(o op, name []byte) (uint64, bool) {
	if o == opBool {
		switch string(name) {
		case "true":
			return 1, true
		case "false":
			return 0, true
		}
		return 0, false
	}
	size := 32
	if o.is64() {
		size = 64
	}
	switch o {
	case opUint32, opFixed32, opUint64, opFixed64:
		v, err := strconv.ParseUint(stringOf(name), 10, size)
		return v, err == nil
	}
	v, err := strconv.ParseInt(stringOf(name), 10, size)
	return zigzagged(o, v), err == nil
}

// zigzagged puts a signed integer into the bits that the wire has for its kind.
func zigzagged(o op, v int64) uint64 {
	switch o {
	case opSint32, opSint64:
		return protowire.EncodeZigZag(v)
	case opSfixed32:
		return uint64(uint32(v))
	}
	return uint64(v)
}

// what names a kind for a person.
func (o op) what() string {
	switch o {
	case opBool:
		return "a boolean"
	case opInt32, opSint32, opSfixed32:
		return "a 32-bit integer"
	case opUint32, opFixed32:
		return "an unsigned 32-bit integer"
	case opInt64, opSint64, opSfixed64:
		return "a 64-bit integer"
	case opUint64, opFixed64:
		return "an unsigned 64-bit integer"
	case opFloat, opDouble:
		return "a number"
	case opEnum:
		return "the name or number of an enum value"
	case opNull:
		return "null"
	case opString:
		return "a string"
	case opBytes:
		return "a string in base64"
	}
	return "an object"
}

// bytes writes a field of bytes.
func (d *decoder) bytes(f *fieldPlan, omitZero bool) error {
	if d.pos >= len(d.in) || d.in[d.pos] != '"' {
		return d.expected("a string in base64")
	}
	start := d.pos
	s, err := d.string()
	if err != nil {
		return err
	}
	if len(s) == 0 && omitZero {
		return nil
	}
	d.out = openLength(append(d.out, f.tag...))
	at := len(d.out)
	var ok bool
	if d.out, ok = appendBytes(d.out, s); !ok {
		return d.failAt(start, "string is not base64")
	}
	d.out = closeLength(d.out, at)
	return nil
}

// scalar reads the number, truth value or enum at the position as the bits that
// the wire has for it. It returns false for the name of an enum to be ignored.
func (d *decoder) scalar(f *fieldPlan) (uint64, bool, error) {
	switch f.op {
	case opBool:
		switch {
		case d.literal("true"):
			return 1, true, nil
		case d.literal("false"):
			return 0, true, nil
		}
		return 0, false, d.expected("a boolean")
	case opEnum, opNull:
		return d.enum(f)
	case opFloat:
		v, err := d.float(32)
		return uint64(math.Float32bits(float32(v))), true, err
	case opDouble:
		v, err := d.float(64)
		return math.Float64bits(v), true, err
	}
	start := d.pos
	neg, magnitude, ok, err := d.integer(f.op)
	if err != nil {
		return 0, false, err
	}
	bits := uint64(0)
	if ok {
		bits, ok = integerBits(f.op, neg, magnitude)
	}
	if !ok {
		text := d.in[start:d.pos]
		return 0, false, d.failAt(start, "%s is not %s or out of its range", clip(string(text)), f.op.what())
	}
	return bits, true, nil
}

// integerBits turns an integer into the bits that the wire has for its kind.
func integerBits(o op, neg bool, magnitude uint64) (uint64, bool) {
	var v int64
	var ok bool
	switch o {
	case opInt32, opSint32, opSfixed32:
		v, ok = signed(neg, magnitude, 32)
	case opUint32, opFixed32:
		return magnitude, magnitude <= math.MaxUint32 && (!neg || magnitude == 0)
	case opUint64, opFixed64:
		return magnitude, !neg || magnitude == 0
	default:
		v, ok = signed(neg, magnitude, 64)
	}
	return zigzagged(o, v), ok
}

// integer reads an integer, as a number or as a string that holds one. It returns
// false, behind the token, where it is no integer.
func (d *decoder) integer(o op) (neg bool, magnitude uint64, ok bool, err error) {
	b := d.in[d.pos:]
	quoted := len(b) > 0 && b[0] == '"'
	if quoted {
		neg, magnitude, n := shortInteger(b[1:])
		if n > 0 && n+1 < len(b) && b[n+1] == '"' {
			d.pos += n + 2
			return neg, magnitude, true, nil
		}
		s, err := d.string()
		if err != nil {
			return false, 0, false, err
		}
		neg, magnitude, ok = integer(s)
		return neg, magnitude, ok, nil
	}
	if neg, magnitude, n := shortInteger(b); n > 0 {
		d.pos += n
		return neg, magnitude, true, nil
	}
	if len(b) == 0 || b[0] != '-' && b[0]-'0' > 9 {
		return false, 0, false, d.expected(o.what())
	}
	n := number(b)
	if n == 0 {
		return false, 0, false, d.fail("malformed number")
	}
	d.pos += n
	neg, magnitude, ok = integer(b[:n])
	return neg, magnitude, ok, nil
}

// float reads a float of so many bits, as a number or as a string that holds one.
func (d *decoder) float(size int) (float64, error) {
	b := d.in[d.pos:]
	if size == 64 {
		if f, n := shortFloat(b); n > 0 {
			d.pos += n
			return f, nil
		}
	}
	start := d.pos
	if len(b) > 0 && b[0] == '"' {
		s, err := d.string()
		if err != nil {
			return 0, err
		}
		f, ok := floatOf(s, size)
		if !ok {
			return 0, d.failAt(start, "%s is not a number or out of range", quote(string(s)))
		}
		return f, nil
	}
	if len(b) == 0 || b[0] != '-' && b[0]-'0' > 9 {
		return 0, d.expected("a number")
	}
	n := number(b)
	if n == 0 {
		return 0, d.fail("malformed number")
	}
	f, err := strconv.ParseFloat(stringOf(b[:n]), size)
	if err != nil {
		return 0, d.fail("%s is out of range", clip(string(b[:n])))
	}
	d.pos += n
	return f, nil
}

// floatOf reads a float from the contents of a string.
func floatOf(s []byte, size int) (float64, bool) {
	switch string(s) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	if n := number(s); n == 0 || n != len(s) {
		return 0, false
	}
	f, err := strconv.ParseFloat(stringOf(s), size)
	return f, err == nil
}

// enum reads an enum by name or number.
func (d *decoder) enum(f *fieldPlan) (uint64, bool, error) {
	if d.pos < len(d.in) && d.in[d.pos] == '"' {
		start := d.pos
		name, err := d.string()
		if err != nil {
			return 0, false, err
		}
		if n, ok := f.enum.numbers.find(name); ok {
			return uint64(n), true, nil
		}
		if d.ignoreEnums {
			return 0, false, nil
		}
		return 0, false, d.failAt(start, "%s is not a value of the enum %s", quote(string(name)), f.enum.desc.FullName())
	}
	if f.op == opNull && d.literal("null") {
		return 0, true, nil
	}
	start := d.pos
	neg, magnitude, ok, err := d.integer(opEnum)
	if err != nil {
		return 0, false, err
	}
	n, fits := signed(neg, magnitude, 32)
	if !ok || !fits {
		return 0, false, d.failAt(start, "%s is not %s", clip(string(d.in[start:d.pos])), opEnum.what())
	}
	return uint64(n), true, nil
}
