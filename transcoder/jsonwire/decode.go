package jsonwire

import (
	"sync"
)

// Input says how JSON is read. The zero value is strict.
type Input struct {
	// IgnoreUnknown skips unknown fields and unknown names of enums.
	IgnoreUnknown bool
	// IgnoreEnums skips unknown names of enums alone.
	IgnoreEnums bool
	// KnownEnums refuses unknown names of enums also with IgnoreUnknown.
	KnownEnums bool
	// AllowTrailing ignores what stands after the value.
	AllowTrailing bool
	// MaxDepth is how many objects and arrays may be open at once; 0 is 100.
	MaxDepth int
	// Given are fields that something else sets, such as the path of a request: they may be missing
	// although they are required.
	Given []*Field
}

const defaultDepth = 100

// decoder writes one JSON value as wire data.
type decoder struct {
	plans *Plans
	in    []byte
	pos   int
	out   []byte
	depth int // of open objects and arrays
	max   int
	// ignore: unknown fields are skipped.
	ignore bool
	// ignoreEnums: unknown names of enums are skipped.
	ignoreEnums bool
	// partial: required fields are not checked (inside an Any).
	partial bool
	// given are required fields that may be missing, lacks those that are.
	given    []*Field
	lacks    []lack
	repeated int // lists and maps that are open
	// keep: a zero is written although it is the same as unset.
	keep bool

	scratch []byte // a string without its escapes
	sets    keySets
	words   []uint64
	marks   []typeMark
	marked  int  // up to where marks are complete
	marking bool // objects that are skipped are marked
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func newDecoder(s *Plans, dst, json []byte, in Input) *decoder {
	d := decoders.Get().(*decoder)
	d.plans, d.in, d.pos, d.out = s, json, 0, dst
	d.depth, d.max, d.ignore, d.partial, d.keep = 0, in.MaxDepth, in.IgnoreUnknown, false, false
	d.ignoreEnums = in.IgnoreEnums || in.IgnoreUnknown && !in.KnownEnums
	d.marked, d.marking, d.given, d.repeated = 0, false, in.Given, 0
	if d.max == 0 {
		d.max = defaultDepth
	}
	return d
}

func (d *decoder) free() {
	d.plans, d.in, d.out, d.given, d.lacks = nil, nil, nil, nil, nil
	d.sets.shrink()
	if cap(d.scratch) > maxKept {
		d.scratch = nil
	}
	if cap(d.words) > maxKept/8 {
		d.words = nil
	}
	if cap(d.marks) > maxKept/16 {
		d.marks = nil
	}
	d.words, d.marks = d.words[:0], d.marks[:0]
	decoders.Put(d)
}

// AppendWire appends the JSON object as a message in wire format. On an error, of
// type *[Error], it returns dst as it was.
func (p *Plan) AppendWire(dst, json []byte, in Input) ([]byte, error) {
	d := newDecoder(p.plans, dst, json, in)
	d.space()
	err := d.message(p)
	if err == nil && !in.AllowTrailing {
		err = d.end()
	}
	if err == nil {
		err = d.complete(nil)
	}
	out := d.out
	d.free()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// fail makes an error about what stands at the position.
func (d *decoder) fail(format string, args ...any) error {
	return newError(d.pos, format, args...)
}

// failAt makes an error about what stands at an offset.
func (d *decoder) failAt(at int, format string, args ...any) error {
	return newError(at, format, args...)
}

// expected makes an error about a value of another kind.
func (d *decoder) expected(what string) error {
	return d.fail("expected %s, found %s", what, d.found())
}

// found describes the value at the position.
func (d *decoder) found() string {
	if d.pos >= len(d.in) {
		return "the end of the input"
	}
	switch c := d.in[d.pos]; {
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a string"
	case c == '-' || c >= '0' && c <= '9':
		return "a number"
	case c == 't' || c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	default:
		return "the byte " + quoteByte(c)
	}
}

func quoteByte(c byte) string {
	if c >= 0x20 && c < 0x7f {
		return "'" + string(rune(c)) + "'"
	}
	const hex = "0123456789abcdef"
	return "0x" + string([]byte{hex[c>>4], hex[c&15]})
}

// space skips white space and returns the byte after it, 0 at the end.
func (d *decoder) space() byte {
	for d.pos < len(d.in) {
		c := d.in[d.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		d.pos++
	}
	return 0
}

// end checks that nothing follows.
func (d *decoder) end() error {
	if d.space(); d.pos < len(d.in) {
		return d.fail("unexpected data after the JSON value: %s", d.found())
	}
	return nil
}

// open enters an object or array, whose first byte is at the position.
func (d *decoder) open() error {
	if d.depth++; d.depth > d.max {
		return d.fail("nested more than %d objects and arrays deep", d.max)
	}
	d.pos++
	return nil
}

// more moves past the comma to the next element of an object or array; it returns
// false at its end.
func (d *decoder) more(end byte) (bool, error) {
	if at := d.pos; at+1 < len(d.in) && d.in[at] == ',' && d.in[at+1] > ' ' && d.in[at+1] != end {
		d.pos++
		return true, nil
	}
	switch c := d.space(); c {
	case ',':
		d.pos++
		if d.space() == end {
			return false, d.expected("another element after the comma")
		}
		return true, nil
	case end:
		d.pos++
		d.depth--
		return false, nil
	default:
		return false, d.expected("',' or '" + string(rune(end)) + "'")
	}
}

// literal moves past null, true or false.
func (d *decoder) literal(word string) bool {
	end := d.pos + len(word)
	if end > len(d.in) || string(d.in[d.pos:end]) != word || end < len(d.in) && inWord(d.in[end]) {
		return false
	}
	d.pos = end
	return true
}

// message writes the fields of the message at the position.
func (d *decoder) message(p *Plan) error {
	if p.kind != plain {
		return d.special(p)
	}
	if d.pos >= len(d.in) || d.in[d.pos] != '{' {
		return d.expected("an object of " + string(p.desc.FullName()))
	}
	if err := d.open(); err != nil {
		return err
	}
	return d.fields(p, noType)
}

// fields writes the fields of an object up to its end; the position is after its
// brace. In an Any, typeAt is where the value of "@type" stands that may be met.
func (d *decoder) fields(p *Plan, typeAt int) error {
	var seen seenBits
	words := len(d.words)
	start := d.pos - 1
	next := 0
	more := true
	var err error
	if d.space() == '}' {
		if more, err = d.more('}'); err != nil {
			return err
		}
	}
	for more {
		var f *fieldPlan
		var after bool
		if next, f, after = d.run(p, next, &seen); !after {
			if next, err = d.one(p, f, typeAt, next, &seen); err != nil {
				return err
			}
		}
		if d.pos+1 < len(d.in) && d.in[d.pos] == ',' && d.in[d.pos+1] == '"' {
			d.pos++
			continue
		}
		if more, err = d.more('}'); err != nil {
			return err
		}
	}
	if len(p.required) > 0 && !d.partial {
		if err := d.require(p, start, &seen); err != nil {
			return err
		}
	}
	d.words = d.words[:words]
	return nil
}

// one writes one field of any kind and returns the field to expect next. Without f
// the position is at its key, else after it.
func (d *decoder) one(p *Plan, f *fieldPlan, typeAt, next int, seen *seenBits) (int, error) {
	at := d.pos
	if f != nil {
		at -= len(f.keys[0])
	} else {
		var err error
		if f, err = d.key(p, typeAt); f == nil {
			return next, err
		}
	}
	d.space()
	if f.bit < 64 && f.oneof < 0 && seen.first&(1<<f.bit) == 0 {
		seen.first |= 1 << f.bit
	} else if err := d.see(f, at, seen, p); err != nil {
		return next, err
	}
	before, lacks := len(d.out), len(d.lacks)
	if err := d.field(f); err != nil {
		return next, f.below(err, f.desc.JSONName())
	}
	if len(d.lacks) > lacks {
		d.lackBelow(f, lacks)
	}
	if f.required > 0 && len(d.out) > before {
		d.note(seen, f.required, p)
	}
	return f.bit + 1, nil
}

// see notes that a field comes and refuses the second time.
func (d *decoder) see(f *fieldPlan, at int, seen *seenBits, p *Plan) error {
	if !d.note(seen, f.bit, p) {
		return d.failAt(at, "duplicate field %s", f.desc.JSONName())
	}
	if f.oneof >= 0 && !d.isNullFor(f) && !d.note(seen, f.oneof, p) {
		return d.failAt(at, "field %s: another member of the oneof %s is already set", f.desc.JSONName(), f.desc.ContainingOneof().Name())
	}
	return nil
}

// note notes a place. It returns false the second time.
func (d *decoder) note(s *seenBits, place int, p *Plan) bool {
	if place < 64 {
		fresh := s.first&(1<<place) == 0
		s.first |= 1 << place
		return fresh
	}
	if s.more == nil {
		s.more, d.words = takeWords(d.words, p.bits)
	}
	return s.see(place)
}

// isNullFor reports whether the value at the position is a null that means unset.
func (d *decoder) isNullFor(f *fieldPlan) bool {
	return !f.null && d.pos < len(d.in) && d.in[d.pos] == 'n'
}

// key reads a key and the colon after it and returns its field; nil after an
// unknown one whose value is skipped.
func (d *decoder) key(p *Plan, typeAt int) (*fieldPlan, error) {
	at := d.pos
	name, err := d.name()
	if err != nil {
		return nil, err
	}
	if typeAt != noType && string(name) == "@type" {
		return nil, d.skipType(at, typeAt)
	}
	f, _ := p.names.find(name)
	if f == nil && len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' {
		var ok bool
		if f, ok = p.extension(name[1 : len(name)-1]); !ok {
			return nil, d.failAt(at, "%s does not extend %s", clip(string(name)), p.desc.FullName())
		}
	}
	if f != nil {
		return f, nil
	}
	if d.ignore {
		d.space()
		return nil, d.skip()
	}
	return nil, unknownField(p, string(name), at)
}

// unknownField is the error of a key that names no field.
func unknownField(p *Plan, name string, at int) error {
	reason := "unknown field " + quote(name) + " of " + string(p.desc.FullName())
	if near := p.near(name); near != "" {
		reason += "; did you mean " + near + "?"
	}
	return &Error{Offset: at, Reason: reason}
}

// name reads a key and the colon after it. The result lives until the next string
// is read.
func (d *decoder) name() ([]byte, error) {
	if d.pos >= len(d.in) || d.in[d.pos] != '"' {
		return nil, d.expected("a field name in quotes")
	}
	name, err := d.string()
	if err != nil {
		return nil, err
	}
	if d.space() != ':' {
		return nil, d.expected("':' after the field name")
	}
	d.pos++
	return name, nil
}
