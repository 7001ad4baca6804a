package jsonwire

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendText appends the message that holds only this field, from the text of a
// path variable or query parameter: numbers, true, false, 1 and 0, names or
// numbers of enums, bytes in standard or URL base64, the JSON forms of wrappers,
// Timestamp, Duration and FieldMask without their quotes, nothing for an Empty. For a repeated field it
// appends one element. A repeated field, a map or another message takes one JSON
// value.
func (f *Field) AppendText(dst []byte, text string) ([]byte, error) {
	if f.isPlainText() && utf8.ValidString(text) {
		dst = append(dst, f.leaf.tag...)
		dst = appendUvarint(dst, uint64(len(text)))
		return append(dst, text...), nil
	}
	value := f.leaf.ofText(text)
	d := newDecoder(f.root.plans, dst, value, Input{})
	d.keep, d.depth = true, len(f.parents)
	err := d.below(f, func() error {
		if d.takesJSON(f.leaf) {
			d.space()
			if err := d.field(f.leaf); err != nil {
				return err
			}
			return d.end()
		}
		return d.text(f.leaf, value)
	})
	return d.finish(dst, err)
}

// isPlainText reports whether a text is the field's value as it is, as that of most path variables.
func (f *Field) isPlainText() bool {
	return f.leaf.op == opString && f.leaf.card == single && len(f.parents) == 0
}

// ofText is the text that a value is read from. An Empty has nothing that a text
// could say: to name it sets it, as in grpc-gateway.
func (f *fieldPlan) ofText(text string) []byte {
	if text == "" && f.op == opMessage && f.card != mapping && f.message().kind == specialEmpty {
		return []byte("{}")
	}
	return []byte(text)
}

// finish frees the decoder of a text and returns its result.
func (d *decoder) finish(dst []byte, err error) ([]byte, error) {
	out := d.out
	d.free()
	if err != nil {
		if e, ok := err.(*Error); ok { //nolint:errorlint // our own errors are never wrapped
			e.Offset = -1 // the value is short and a client knows no bytes of it
		}
		return dst, err
	}
	return out, nil
}

// takesJSON reports whether the whole input is to be read as the JSON of the field.
func (d *decoder) takesJSON(f *fieldPlan) bool {
	c := d.space()
	d.pos = 0
	if f.card == mapping {
		return true
	}
	if f.card == list && c == '[' {
		if f.op != opString && !f.isString() {
			return true
		}
		// An element may begin with a bracket; only an array of strings is taken as one.
		depth := d.depth
		err := d.skip()
		if err == nil {
			err = d.end()
		}
		d.pos, d.depth = 0, depth
		return err == nil
	}
	return f.card == single && (f.op == opMessage || f.op == opGroup) && !f.hasText()
}

// isString tells a field of StringValue.
func (f *fieldPlan) isString() bool {
	return f.op == opMessage && f.message().kind == specialWrapper && f.message().fields[0].op == opString
}

// hasText reports whether the field's message has a form without quotes.
func (f *fieldPlan) hasText() bool {
	switch f.message().kind {
	case specialTimestamp, specialDuration, specialWrapper, specialMask:
		return true
	}
	return false
}

// text writes one value with its tag.
func (d *decoder) text(f *fieldPlan, s []byte) error {
	switch f.op {
	case opMessage, opGroup:
		if !f.hasText() {
			d.space()
			if _, err := d.single(f, false); err != nil {
				return err
			}
			return d.end()
		}
		d.out = append(d.out, f.tag...)
		if f.op == opGroup {
			err := d.textMessage(f.message(), s)
			d.out = append(d.out, f.endTag...)
			return err
		}
		d.out = openLength(d.out)
		at := len(d.out)
		if err := d.textMessage(f.message(), s); err != nil {
			return err
		}
		d.out = closeLength(d.out, at)
		return nil
	case opString:
		if !utf8.Valid(s) {
			return newError(-1, "the text is not valid UTF-8")
		}
		d.out = append(d.out, f.tag...)
		d.out = appendUvarint(d.out, uint64(len(s)))
		d.out = append(d.out, s...)
		return nil
	case opBytes:
		d.out = openLength(append(d.out, f.tag...))
		at := len(d.out)
		var ok bool
		if d.out, ok = appendBytes(d.out, s); !ok {
			return newError(-1, "%s is not base64", quote(string(s)))
		}
		d.out = closeLength(d.out, at)
		return nil
	}
	bits, ok := textBits(f, s)
	if !ok {
		return newError(-1, "%s is not %s or out of its range", quote(string(s)), f.op.what())
	}
	d.out = append(d.out, f.tag...)
	d.appendScalar(f, bits)
	return nil
}

// textMessage writes the fields of a message that has a text form.
func (d *decoder) textMessage(p *Plan, s []byte) error {
	var seconds int64
	var nanos int32
	var ok bool
	switch p.kind {
	case specialWrapper:
		return d.text(p.fields[0], s)
	case specialMask:
		if bad, ok := d.appendMask(p.fields[0], s, true); !ok {
			return newError(-1, "%s is not a path of a field mask", quote(string(bad)))
		}
		return nil
	case specialTimestamp:
		if seconds, nanos, ok = parseTimestamp(s); !ok {
			return newError(-1, "%s is not a timestamp such as 2006-01-02T15:04:05Z, of the years 1 to 9999", quote(string(s)))
		}
	default:
		if seconds, nanos, ok = parseDuration(s); !ok {
			return newError(-1, "%s is not a duration in seconds such as 3.5s", quote(string(s)))
		}
	}
	d.appendSeconds(seconds, nanos)
	return nil
}

// textBits reads a scalar as the bits that the wire has for it.
func textBits(f *fieldPlan, s []byte) (uint64, bool) {
	switch f.op {
	case opBool:
		switch string(s) {
		case "true", "1":
			return 1, true
		case "false", "0":
			return 0, true
		}
		return 0, false
	case opEnum, opNull:
		if n, ok := f.enum.numbers.find(s); ok {
			return uint64(n), true
		}
		if f.op == opNull && string(s) == "null" {
			return 0, true
		}
		neg, magnitude, ok := integer(s)
		n, fits := signed(neg, magnitude, 32)
		return uint64(n), ok && fits
	case opFloat:
		v, ok := floatOf(s, 32)
		return uint64(math.Float32bits(float32(v))), ok
	case opDouble:
		v, ok := floatOf(s, 64)
		return math.Float64bits(v), ok
	}
	neg, magnitude, ok := integer(s)
	if !ok {
		return 0, false
	}
	return integerBits(f.op, neg, magnitude)
}

// AppendMapText appends the message that holds one entry of this map, from the
// text of its key and of its value.
func (f *Field) AppendMapText(dst []byte, key, value string) ([]byte, error) {
	leaf := f.leaf
	if leaf.card != mapping {
		return dst, newError(-1, "%s is not a map, so it has no key %s", f.Path(), strconv.Quote(clip(key)))
	}
	text := leaf.mapVal.ofText(value)
	d := newDecoder(f.root.plans, dst, text, Input{})
	d.keep, d.depth = true, len(f.parents)
	err := d.below(f, func() error {
		d.out = openLength(append(d.out, leaf.tag...))
		at := len(d.out)
		if !utf8.ValidString(key) {
			return newError(-1, "map key is not valid UTF-8")
		}
		if _, err := d.mapKey(leaf.mapKey, []byte(key), -1); err != nil {
			return err
		}
		if err := d.text(leaf.mapVal, text); err != nil {
			return belowKey(err, key)
		}
		d.out = closeLength(d.out, at)
		return nil
	})
	return d.finish(dst, err)
}
