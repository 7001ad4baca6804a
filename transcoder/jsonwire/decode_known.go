package jsonwire

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// special writes the fields of a message that has a JSON form of its own.
func (d *decoder) special(p *Plan) error {
	switch p.kind {
	case specialTimestamp:
		return d.secondsAndNanos(parseTimestamp, "a timestamp such as 2006-01-02T15:04:05Z, of the years 1 to 9999")
	case specialDuration:
		return d.secondsAndNanos(parseDuration, "a duration in seconds such as 3.5s, of at most 315576000000s")
	case specialWrapper:
		_, err := d.single(p.fields[0], !d.keep)
		return err
	case specialStruct:
		return d.mapping(p.fields[0])
	case specialList:
		return d.list(p.fields[0])
	case specialValue:
		return d.value(p)
	case specialMask:
		return d.mask(p.fields[0])
	case specialAny:
		return d.any()
	case specialEmpty:
		if d.pos >= len(d.in) || d.in[d.pos] != '{' {
			return d.expected("an object")
		}
		if err := d.open(); err != nil {
			return err
		}
		return d.fields(p, noType)
	}
	return d.fail("%s is a MessageSet, which JSON does not have", p.desc.FullName())
}

// secondsAndNanos writes a Timestamp or a Duration.
func (d *decoder) secondsAndNanos(parse func([]byte) (int64, int32, bool), what string) error {
	if d.pos >= len(d.in) || d.in[d.pos] != '"' {
		return d.expected("a string with " + what)
	}
	start := d.pos
	s, err := d.string()
	if err != nil {
		return err
	}
	seconds, nanos, ok := parse(s)
	if !ok {
		return d.failAt(start, "%s is not %s", quote(string(s)), what)
	}
	d.appendSeconds(seconds, nanos)
	return nil
}

// appendSeconds writes the two fields of a Timestamp or a Duration.
func (d *decoder) appendSeconds(seconds int64, nanos int32) {
	if seconds != 0 || d.keep {
		d.out = append(d.out, 1<<3|byte(protowire.VarintType))
		d.out = protowire.AppendVarint(d.out, uint64(seconds))
	}
	if nanos != 0 || d.keep {
		d.out = append(d.out, 2<<3|byte(protowire.VarintType))
		d.out = protowire.AppendVarint(d.out, uint64(int64(nanos)))
	}
}

// value writes a google.protobuf.Value.
func (d *decoder) value(p *Plan) error {
	const isNull, isNumber, isString, isBool, isStruct, isList = 1, 2, 3, 4, 5, 6
	var kind int
	c := byte(0)
	if d.pos < len(d.in) {
		c = d.in[d.pos]
	}
	switch {
	case c == '"':
		kind = isString
	case c == '{':
		kind = isStruct
	case c == '[':
		kind = isList
	case c == 'n':
		kind = isNull
	case c == 't' || c == 'f':
		kind = isBool
	case c == '-' || c-'0' <= 9:
		kind = isNumber
	default:
		return d.expected("a JSON value")
	}
	_, err := d.single(p.dense[kind], false)
	return err
}

// mask writes the paths of a FieldMask.
func (d *decoder) mask(f *fieldPlan) error {
	if d.pos >= len(d.in) || d.in[d.pos] != '"' {
		return d.expected("a string with the paths of a field mask")
	}
	start := d.pos
	s, err := d.string()
	if err != nil {
		return err
	}
	bad, ok := d.appendMask(f, s, false)
	if !ok {
		return d.failAt(start, "%s is not a path of a field mask in camelCase", quote(string(bad)))
	}
	return nil
}

// appendMask writes paths that stand with commas between them. It returns the bad
// one, if any.
func (d *decoder) appendMask(f *fieldPlan, s []byte, underscores bool) (bad []byte, ok bool) {
	s = bytes.TrimSpace(s)
	for more := len(s) > 0; more; {
		var path []byte
		path, s, more = bytes.Cut(s, []byte{','})
		d.out = openLength(append(d.out, f.tag...))
		at := len(d.out)
		if d.out, ok = appendSnake(d.out, path, underscores); !ok {
			return path, false
		}
		d.out = closeLength(d.out, at)
	}
	return nil, true
}
