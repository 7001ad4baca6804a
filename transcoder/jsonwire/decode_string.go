package jsonwire

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// string reads the string at the position, whose first byte is its quote. The
// result is part of the input, or of the scratch memory where it had escapes, and
// lives until the next string is read.
func (d *decoder) string() ([]byte, error) {
	in := d.in
	start := d.pos + 1
	i := start
	for i+8 <= len(in) {
		if m := unusual(binary.LittleEndian.Uint64(in[i:])); m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			if in[i] == '"' {
				d.pos = i + 1
				return in[start:i], nil
			}
			break
		}
		i += 8
	}
	for i < len(in) {
		c := in[i]
		if c == '"' {
			d.pos = i + 1
			return in[start:i], nil
		}
		if c < 0x20 || c == '\\' || c >= 0x80 {
			return d.unusualString(start, i)
		}
		i++
	}
	return nil, d.failAt(len(in), "unexpected end of the input in a string")
}

// unusualString is string where byte i is the first that is not plain ASCII.
func (d *decoder) unusualString(start, i int) ([]byte, error) {
	in := d.in
	escaped := false
	for i < len(in) && in[i] != '"' {
		switch c := in[i]; {
		case c == '\\':
			escaped = true
			i += 2
		case c < 0x20:
			return nil, d.failAt(i, "control character %s in a string; it must be escaped", quoteByte(c))
		case c < 0x80:
			i = usual(in, i)
		default:
			r, n := utf8.DecodeRune(in[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, d.failAt(i, "invalid UTF-8 in a string")
			}
			i += n
		}
	}
	if i >= len(in) {
		return nil, d.failAt(len(in), "unexpected end of the input in a string")
	}
	d.pos = i + 1
	if !escaped {
		return in[start:i], nil
	}
	d.scratch = d.scratch[:0]
	for at := start; at < i; {
		if in[at] != '\\' {
			end := at + 1
			for end < i && in[end] != '\\' {
				end++
			}
			d.scratch = append(d.scratch, in[at:end]...)
			at = end
			continue
		}
		n, err := d.escape(at, i)
		if err != nil {
			return nil, err
		}
		at += n
	}
	return d.scratch, nil
}

// escape appends what an escape sequence stands for and returns its length. end
// is that of the string.
func (d *decoder) escape(at, end int) (int, error) {
	c := d.in[at+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return d.unicode(at, end)
	default:
		return 0, d.failAt(at, "invalid escape \\%s in a string", quoteByte(c))
	}
	d.scratch = append(d.scratch, c)
	return 2, nil
}

func (d *decoder) unicode(at, end int) (int, error) {
	r, ok := hexRune(d.in[at+2 : end])
	if !ok {
		return 0, d.failAt(at, "invalid \\u escape in a string; expected four hexadecimal digits")
	}
	if !utf16.IsSurrogate(r) {
		d.scratch = utf8.AppendRune(d.scratch, r)
		return 6, nil
	}
	if end-at >= 12 && d.in[at+6] == '\\' && d.in[at+7] == 'u' {
		if low, ok := hexRune(d.in[at+8 : end]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				d.scratch = utf8.AppendRune(d.scratch, pair)
				return 12, nil
			}
		}
	}
	return 0, d.failAt(at, "lone surrogate \\u%s in a string", d.in[at+2:at+6])
}

func hexRune(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skip moves past any value.
func (d *decoder) skip() error {
	switch c := d.space(); {
	case c == '"':
		_, err := d.string()
		return err
	case c == '{':
		return d.skipObject()
	case c == '[':
		if err := d.open(); err != nil {
			return err
		}
		more := d.space() != ']'
		var err error
		if !more {
			more, err = d.more(']')
		}
		for more {
			if err = d.skip(); err != nil {
				return err
			}
			if more, err = d.more(']'); err != nil {
				return err
			}
		}
		return err
	case c == '-' || c >= '0' && c <= '9':
		if n := number(d.in[d.pos:]); n > 0 {
			d.pos += n
			return nil
		}
		return d.fail("malformed number")
	case d.literal("null") || d.literal("true") || d.literal("false"):
		return nil
	}
	return d.expected("a JSON value")
}

// typeMark remembers where an object that was skipped begins and where the value
// of its "@type" stands, so that no Any is searched twice.
type typeMark struct {
	start, at int32 // at is 0 for none
	twice     bool
}

// skipObject moves past an object and marks where its type stands.
func (d *decoder) skipObject() error {
	mark := -1
	if d.marking {
		mark = len(d.marks)
		d.marks = append(d.marks, typeMark{start: int32(d.pos)})
	}
	if err := d.open(); err != nil {
		return err
	}
	more := d.space() != '}'
	var err error
	if !more {
		_, err = d.more('}')
	}
	for more {
		name, err := d.name()
		if err != nil {
			return err
		}
		isType := string(name) == "@type"
		d.space()
		if isType && mark >= 0 {
			d.marks[mark].twice = d.marks[mark].at != 0
			d.marks[mark].at = int32(d.pos)
		}
		if err := d.skip(); err != nil {
			return err
		}
		if more, err = d.more('}'); err != nil {
			return err
		}
	}
	return err
}
