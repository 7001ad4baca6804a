package jsonwire

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// special appends a message that has a JSON form of its own.
func (e *encoder) special(dst []byte, p *Plan, b []byte) ([]byte, error) {
	switch p.kind {
	case specialTimestamp:
		return e.timestamp(dst, p, b)
	case specialDuration:
		return e.duration(dst, p, b)
	case specialWrapper:
		return e.wrapper(dst, p, b)
	case specialStruct:
		return e.only(dst, p, b, "{}")
	case specialList:
		return e.only(dst, p, b, "[]")
	case specialValue:
		return e.anyValue(dst, p, b)
	case specialMask:
		return e.mask(dst, p, b)
	case specialAny:
		return e.any(dst, p, b)
	case specialEmpty:
		dst = append(dst, '{')
		dst, _, err := e.fields(dst, p, b, 0)
		return closed(dst, '}'), err
	}
	return dst, e.fail(b, "%s is a MessageSet, which JSON does not have", p.desc.FullName())
}

// cursor goes through the known fields of a small message.
type cursor struct {
	rest []byte // what stands after the tag of the current field
	f    *fieldPlan
	typ  protowire.Type
	bad  bool // the data is malformed
}

// next goes to the next field of the plan. The caller moves rest past its value.
func (c *cursor) next(p *Plan) bool {
	for len(c.rest) > 0 {
		num, typ, n := tagOf(c.rest)
		if n == 0 || num == 0 {
			c.bad = true
			return false
		}
		if int(num) < len(p.dense) {
			if f := p.dense[num]; f != nil && (f.typ == typ || f.packable && typ == protowire.BytesType) {
				c.f, c.typ, c.rest = f, typ, c.rest[n:]
				return true
			}
		}
		m := protowire.ConsumeFieldValue(num, typ, c.rest[n:])
		if m < 0 {
			c.bad = true
			return false
		}
		c.rest = c.rest[n+m:]
	}
	return false
}

// only appends the one field of a Struct or a ListValue as the whole message.
func (e *encoder) only(dst []byte, p *Plan, b []byte, empty string) ([]byte, error) {
	c := cursor{rest: b}
	if !c.next(p) {
		if c.bad {
			return dst, e.malformed(c.rest)
		}
		return append(dst, empty...), nil
	}
	var err error
	dst = append(dst, empty[0])
	if c.f.card == list {
		dst, c.rest, err = e.list(dst, c.f, c.rest, c.typ)
	} else {
		dst, c.rest, err = e.mapping(dst, c.f, c.rest)
	}
	if err != nil {
		return dst, err
	}
	return dst, e.ended(&c, p)
}

// ended tells what follows the one field of a message that has only that.
func (e *encoder) ended(c *cursor, p *Plan) error {
	if c.next(p) {
		return errAgain
	}
	if c.bad {
		return e.malformed(c.rest)
	}
	return nil
}

// wrapper appends the value of a wrapper.
func (e *encoder) wrapper(dst []byte, p *Plan, b []byte) ([]byte, error) {
	c := cursor{rest: b}
	if !c.next(p) {
		if c.bad {
			return dst, e.malformed(c.rest)
		}
		f := p.fields[0]
		if e.Int64Numbers && f.op.is64() {
			return append(dst, '0'), nil
		}
		return append(dst, f.zeroText()...), nil
	}
	var err error
	if dst, c.rest, err = e.value(dst, c.f, c.rest); err != nil {
		return dst, err
	}
	return dst, e.ended(&c, p)
}

// anyValue appends a google.protobuf.Value.
func (e *encoder) anyValue(dst []byte, p *Plan, b []byte) ([]byte, error) {
	c := cursor{rest: b}
	if !c.next(p) {
		if c.bad {
			return dst, e.malformed(c.rest)
		}
		return dst, e.fail(b, "a google.protobuf.Value holds nothing; JSON cannot say that")
	}
	if c.f.op == opDouble && len(c.rest) >= 8 {
		if v := math.Float64frombits(binary.LittleEndian.Uint64(c.rest)); math.IsNaN(v) || math.IsInf(v, 0) {
			return dst, e.fail(c.rest, "a google.protobuf.Value holds %v; JSON has no such number", v)
		}
	}
	var err error
	if dst, c.rest, err = e.value(dst, c.f, c.rest); err != nil {
		return dst, err
	}
	return dst, e.ended(&c, p)
}

// secondsAndNanos reads a Timestamp or a Duration.
func (e *encoder) secondsAndNanos(p *Plan, b []byte) (seconds int64, nanos int32, err error) {
	if seconds, nanos, ok := usualSeconds(b); ok {
		return seconds, nanos, nil
	}
	c := cursor{rest: b}
	var seen [3]bool
	for c.next(p) {
		if seen[c.f.num] && !e.exact {
			return 0, 0, errAgain
		}
		seen[c.f.num] = true
		v, n := protowire.ConsumeVarint(c.rest)
		if n < 0 {
			return 0, 0, e.malformed(c.rest)
		}
		c.rest = c.rest[n:]
		if c.f.num == 1 {
			seconds = int64(v)
		} else {
			nanos = int32(v)
		}
	}
	if c.bad {
		return 0, 0, e.malformed(c.rest)
	}
	return seconds, nanos, nil
}

// usualSeconds reads the seconds and perhaps the nanoseconds after them; ok is
// false for anything else.
func usualSeconds(b []byte) (seconds int64, nanos int32, ok bool) {
	if len(b) < 2 || b[0] != 1<<3 {
		return 0, 0, false
	}
	v, n := protowire.ConsumeVarint(b[1:])
	if n < 0 {
		return 0, 0, false
	}
	if b = b[1+n:]; len(b) == 0 {
		return int64(v), 0, true
	}
	if b[0] != 2<<3 {
		return 0, 0, false
	}
	w, n := protowire.ConsumeVarint(b[1:])
	return int64(v), int32(w), n == len(b)-1
}

func (e *encoder) timestamp(dst []byte, p *Plan, b []byte) ([]byte, error) {
	seconds, nanos, err := e.secondsAndNanos(p, b)
	if err != nil {
		return dst, err
	}
	if seconds < minTimestamp || seconds > maxTimestamp || nanos < 0 || nanos > maxNanos {
		return dst, e.fail(b, "timestamp of %d seconds and %d nanoseconds is not within the years 1 to 9999", seconds, nanos)
	}
	return appendTimestamp(dst, seconds, nanos), nil
}

func (e *encoder) duration(dst []byte, p *Plan, b []byte) ([]byte, error) {
	seconds, nanos, err := e.secondsAndNanos(p, b)
	if err != nil {
		return dst, err
	}
	if seconds < -maxDuration || seconds > maxDuration || nanos < -maxNanos || nanos > maxNanos {
		return dst, e.fail(b, "duration of %d seconds and %d nanoseconds is out of range", seconds, nanos)
	}
	if seconds > 0 && nanos < 0 || seconds < 0 && nanos > 0 {
		return dst, e.fail(b, "seconds (%d) and nanoseconds (%d) of a duration differ in sign", seconds, nanos)
	}
	return appendDuration(dst, seconds, nanos), nil
}

// mask appends a FieldMask: its paths in camelCase with commas between them. A path
// that has no such form is written as it is.
func (e *encoder) mask(dst []byte, p *Plan, b []byte) ([]byte, error) {
	c := cursor{rest: b}
	dst = append(dst, '"')
	for first := true; c.next(p); first = false {
		path, rest, ok := bytesIn(c.rest)
		if !ok {
			return dst, e.malformed(c.rest)
		}
		if !first {
			dst = append(dst, ',')
		}
		if dst, ok = appendCamel(dst, path); !ok {
			var err error
			if dst, err = e.longText(dst, path); err != nil {
				return dst, err
			}
		}
		if c.rest = rest; len(dst) > e.room {
			var err error
			if dst, err = e.overflow(dst); err != nil {
				return dst, err
			}
		}
	}
	if c.bad {
		return dst, e.malformed(c.rest)
	}
	return append(dst, '"'), nil
}

// any appends an Any: the message in it with "@type", or for a message with a
// JSON form of its own that form under "value".
func (e *encoder) any(dst []byte, p *Plan, b []byte) ([]byte, error) {
	c := cursor{rest: b}
	var seen [3]bool
	var part [3][]byte
	for c.next(p) {
		if seen[c.f.num] && !e.exact {
			return dst, errAgain
		}
		s, rest, ok := bytesIn(c.rest)
		if !ok {
			return dst, e.malformed(c.rest)
		}
		seen[c.f.num], part[c.f.num], c.rest = true, s, rest
	}
	if c.bad {
		return dst, e.malformed(c.rest)
	}
	url, value := part[1], part[2]
	if len(url) == 0 && len(value) == 0 {
		return append(dst, '{', '}'), nil
	}
	at, state := len(dst), e.depth
	partial, words, open := e.partial, len(e.words), e.sets.open
	dst = append(dst, `{"@type":`...)
	dst, ok := appendString(dst, url)
	if !ok {
		return dst, e.fail(b, "the type URL of an Any is not valid UTF-8")
	}
	dst = append(dst, ',')
	body := len(dst)
	if e.NamedAny && len(value) == 0 {
		if _, err := e.plans.byURL(url); err != nil {
			return closed(dst, '}'), nil
		}
	}
	if !e.OpaqueAny {
		var err error
		dst, err = e.anyBody(dst, url, value, b)
		e.partial = partial
		switch {
		case err == nil:
			return closed(dst, '}'), nil
		case !e.LenientAny || isTooLarge(err):
			return dst, err
		case !e.exact:
			return dst[:at], errAgain // only the exact way knows whether the value is broken
		}
		e.depth, e.words, e.sets.open = state, e.words[:words], open
	}
	dst, err := e.base64(append(dst[:body], `"value":"`...), value)
	return append(dst, '"', '}'), err
}

// anyBody appends what is in an Any, without braces.
func (e *encoder) anyBody(dst, url, value, b []byte) ([]byte, error) {
	if len(url) == 0 {
		return dst, e.fail(b, "an Any holds a value but names no type")
	}
	p, err := e.plans.byURL(url)
	if err != nil {
		return dst, e.fail(b, "an Any holds a %q: %v", clip(string(url)), err)
	}
	e.partial = true
	if e.exact {
		if value, err = normalise(p, value); err != nil {
			return dst, err
		}
	}
	if p.kind == plain || p.kind == specialEmpty {
		if e.depth++; e.depth > maxWireDepth {
			return dst, e.fail(b, "nested more than %d messages deep", maxWireDepth)
		}
		dst, _, err = e.fields(dst, p, value, 0)
		e.depth--
		return dst, err
	}
	dst = append(dst, `"value":`...)
	if dst, err = e.message(dst, p, value); err != nil {
		return dst, err
	}
	return append(dst, ','), nil
}
