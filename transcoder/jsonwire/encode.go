package jsonwire

import (
	"encoding/binary"
	"math"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// Output says how JSON is written. The zero value writes as protojson does with
// EmitDefaultValues: names of JSON and enums, 64-bit integers as strings, zero
// scalars and empty lists and maps written out, unset messages absent.
type Output struct {
	// OmitDefaults leaves out what is not set or zero, as the proto3 JSON mapping says.
	OmitDefaults bool
	// UnsetAsNull writes null for unset messages and proto2 scalars; it outranks
	// OmitDefaults.
	UnsetAsNull bool
	// ProtoNames writes shelf_id, not shelfId.
	ProtoNames bool
	// EnumNumbers writes enums as numbers.
	EnumNumbers bool
	// Int64Numbers writes 64-bit integers as JSON numbers, which JavaScript rounds.
	Int64Numbers bool
	// LenientAny writes an Any whose type is unknown or whose value is broken as
	// {"@type": …, "value": base64}, where it would be an error.
	LenientAny bool
	// OpaqueAny writes every Any so, whatever it holds.
	OpaqueAny bool
	// NamedAny writes an Any without a value, whose type is unknown, as {"@type": …}, where it
	// would be an error.
	NamedAny bool
	// MaxBytes bounds the JSON; 0 is no bound. A message that has more is a
	// *[TooLargeError].
	MaxBytes int
}

// What happens to fields that are not set.
const (
	unsetOmitted = iota
	unsetZero
	unsetNull
)

// maxWireDepth bounds how deeply messages may nest in wire data.
const maxWireDepth = 1000

// encoder writes one message as JSON.
type encoder struct {
	plans *Plans
	wire  []byte // the whole input, to tell offsets
	names int
	unset int
	// early is unset, or unsetOmitted where fields that are not set come after the
	// others, since the data has the others not in the order of their numbers.
	early int
	Output
	depth int
	// partial: required fields are not checked (inside an Any).
	partial bool
	// exact: the data is normalised; nothing can come twice.
	exact bool
	// scanned counts the bytes of groups that were looked through ahead of time.
	scanned int
	// field is what is written of the message, nil for all of it.
	field *Field
	text
	sets  keySets
	words []uint64
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

func newEncoder(s *Plans, wire []byte, o Output) *encoder {
	e := encoders.Get().(*encoder)
	e.plans, e.wire, e.Output = s, wire, o
	e.names, e.unset, e.depth, e.partial, e.exact, e.scanned = 0, unsetZero, 0, false, false, 0
	if o.ProtoNames {
		e.names = 1
	}
	if o.OmitDefaults {
		e.unset = unsetOmitted
	}
	if o.UnsetAsNull {
		e.unset = unsetNull
	}
	e.early = e.unset
	return e
}

func (e *encoder) free() {
	e.plans, e.wire, e.field, e.to = nil, nil, nil, nil
	e.sets.shrink()
	if cap(e.words) > maxKept/8 {
		e.words = nil
	}
	e.words = e.words[:0]
	encoders.Put(e)
}

// fail makes an error about what stands at the start of b.
func (e *encoder) fail(b []byte, format string, args ...any) error {
	offset := cap(e.wire) - cap(b)
	if offset < 0 || offset > len(e.wire) || e.exact {
		offset = -1
	}
	return newError(offset, format, args...)
}

func (e *encoder) malformed(b []byte) error {
	return e.fail(b, "malformed wire data")
}

// message appends a whole message.
func (e *encoder) message(dst []byte, p *Plan, b []byte) ([]byte, error) {
	if e.depth++; e.depth > maxWireDepth {
		return dst, e.fail(b, "nested more than %d messages deep", maxWireDepth)
	}
	var err error
	if len(dst) > e.room {
		if dst, err = e.overflow(dst); err != nil {
			return dst, err
		}
	}
	if p.kind == plain {
		dst = append(dst, '{')
		if dst, _, err = e.fields(dst, p, b, 0); err == nil {
			dst = closed(dst, '}')
		}
	} else {
		dst, err = e.special(dst, p, b)
	}
	e.depth--
	return dst, err
}

// closed ends an object or list whose elements all end with a comma.
func closed(dst []byte, end byte) []byte {
	if last := len(dst) - 1; dst[last] == ',' {
		dst[last] = end
		return dst
	}
	return append(dst, end)
}

// tagOf splits a tag off b; n is 0 where it is malformed.
func tagOf(b []byte) (num protowire.Number, typ protowire.Type, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return protowire.Number(b[0] >> 3), protowire.Type(b[0] & 7), 1
	}
	num, typ, n = protowire.ConsumeTag(b)
	if n < 0 || num > protowire.MaxValidNumber {
		return 0, 0, 0
	}
	return num, typ, n
}

// fields appends the fields of a message, each with a comma after it. For a group
// it returns what stands after the group's end.
func (e *encoder) fields(dst []byte, p *Plan, b []byte, group protowire.Number) ([]byte, []byte, error) {
	seen := farSlots // and the near slots of the fields that came
	var r rare
	words := len(e.words)
	unset := p.unsetBits[e.early]
	var err error
	ended := group == 0
	for len(b) > 0 {
		num, typ, n := tagOf(b)
		if n == 0 || num == 0 {
			return dst, b, e.malformed(b)
		}
		var f *fieldPlan
		if int(num) < len(p.dense) {
			f = p.dense[num]
		}
		if !f.takes(typ) {
			if f == nil {
				f = p.find(num)
			}
			if !f.takes(typ) {
				if typ == protowire.EndGroupType && num == group {
					b, ended = b[n:], true
					break
				}
				m := protowire.ConsumeFieldValue(num, typ, b[n:])
				if m < 0 {
					return dst, b, e.malformed(b)
				}
				b = b[n+m:]
				continue
			}
		}
		if seen&f.mark|unset&^seen&f.before != 0 {
			if dst, seen, err = e.odd(dst, p, f, b, seen, &r); err != nil {
				return dst, b, err
			}
		}
		seen |= f.mark
		at := len(dst)
		dst = f.opened[e.names].appendTo(dst)
		if f.card == single {
			value := b[n:]
			if f.op == opString {
				var s []byte
				var ok bool
				if len(value) > 0 && value[0] < 0x80 && int(value[0]) < len(value) {
					s, b = value[1:1+value[0]], value[1+value[0]:]
				} else if s, b, ok = bytesIn(value); !ok {
					return dst, b, e.malformed(value)
				}
				if len(s) > longText {
					if dst, err = e.longText(dst, s); err != nil {
						return dst, b, f.below(err, string(f.desc.Name()))
					}
				} else if dst, ok = appendText(dst, s); !ok {
					return dst, b, f.below(e.notUTF8(s), string(f.desc.Name()))
				}
				if len(s) == 0 && f.implicit && e.unset == unsetOmitted {
					dst = dst[:at]
					continue
				}
				dst = append(dst, '"', ',')
				continue
			}
			if dst, b, err = e.value(dst, f, value); err != nil {
				return dst, b, f.below(err, string(f.desc.Name()))
			}
			if f.implicit && e.unset == unsetOmitted && e.isZero(f, value, dst[min(at+len(f.keys[e.names]), len(dst)):]) {
				dst = dst[:at]
				continue
			}
			dst = append(dst, ',')
			continue
		}
		if f.card == list {
			dst, b, err = e.list(dst, f, b[n:], typ)
		} else {
			dst, b, err = e.mapping(dst, f, b[n:])
		}
		if err != nil {
			return dst, b, f.below(err, string(f.desc.Name()))
		}
		if dst[len(dst)-2] == '[' && f.unset[e.unset][e.names] == nil {
			dst = dst[:at]
			continue
		}
		dst = append(dst, ',')
	}
	if !ended {
		return dst, b, e.fail(b, "the group %d does not end", group)
	}
	if len(p.required) > 0 && !e.partial {
		for _, f := range p.required {
			if !r.has(seen, f) {
				return dst, b, e.missing(f, b)
			}
		}
	}
	if absent := p.unsetBits[e.unset] &^ seen; absent != 0 || len(p.unsetMore) > 0 && e.unset != unsetOmitted {
		dst = e.unsetAfter(dst, p, absent, &r)
	}
	e.words = e.words[:words]
	return dst, b, nil
}

// notUTF8 is the error of a string that JSON cannot hold.
func (e *encoder) notUTF8(s []byte) error { return e.fail(s, "string is not valid UTF-8") }

// isZero reports whether a value just written is the zero that means unset.
func (e *encoder) isZero(f *fieldPlan, value, text []byte) bool {
	switch f.op {
	case opEnum, opNull:
		v, _ := protowire.ConsumeVarint(value)
		return int32(v) == 0
	case opBool:
		return text[0] == 'f'
	case opBytes:
		s, _, _ := bytesIn(value)
		return len(s) == 0
	}
	return string(text) == "0" || string(text) == `"0"`
}

// bytesIn splits a length and so many bytes off b.
func bytesIn(b []byte) (value, rest []byte, ok bool) {
	var size uint64
	n := 1
	if len(b) > 0 && b[0] < 0x80 {
		size = uint64(b[0])
	} else if size, n = protowire.ConsumeVarint(b); n < 0 {
		return nil, b, false
	}
	if size > uint64(len(b)-n) {
		return nil, b, false
	}
	return b[n : n+int(size)], b[n+int(size):], true
}

// takes reports whether a value of the wire type is one of the field; of no field
// none is.
func (f *fieldPlan) takes(typ protowire.Type) bool {
	return f != nil && (typ == f.typ || f.packable && typ == protowire.BytesType)
}

// value appends one value, which stands at the start of b.
func (e *encoder) value(dst []byte, f *fieldPlan, b []byte) ([]byte, []byte, error) {
	switch {
	case f.op == opString:
		s, rest, ok := bytesIn(b)
		if !ok {
			return dst, b, e.malformed(b)
		}
		if len(s) > longText {
			dst, err := e.longText(append(dst, '"'), s)
			return append(dst, '"'), rest, err
		}
		if dst, ok = appendString(dst, s); !ok {
			return dst, b, e.notUTF8(s)
		}
		return dst, rest, nil
	case f.op <= lastVarint:
		var v uint64
		n := 1
		if len(b) > 0 && b[0] < 0x80 {
			v = uint64(b[0])
		} else if v, n = protowire.ConsumeVarint(b); n < 0 {
			return dst, b, e.malformed(b)
		}
		return e.varint(dst, f, v), b[n:], nil
	case f.op == opMessage:
		m, rest, ok := bytesIn(b)
		if !ok {
			return dst, b, e.malformed(b)
		}
		dst, err := e.message(dst, f.message(), m)
		return dst, rest, err
	case f.op <= opFloat:
		if len(b) < 4 {
			return dst, b, e.malformed(b)
		}
		return e.fixed32(dst, f, binary.LittleEndian.Uint32(b)), b[4:], nil
	case f.op <= opDouble:
		if len(b) < 8 {
			return dst, b, e.malformed(b)
		}
		return e.fixed64(dst, f, binary.LittleEndian.Uint64(b)), b[8:], nil
	case f.op == opBytes:
		s, rest, ok := bytesIn(b)
		if !ok {
			return dst, b, e.malformed(b)
		}
		dst, err := e.base64(append(dst, '"'), s)
		return append(dst, '"'), rest, err
	}
	return e.group(dst, f, b)
}

// group appends a group, or a message written like one.
func (e *encoder) group(dst []byte, f *fieldPlan, b []byte) ([]byte, []byte, error) {
	p := f.message()
	if p.kind != plain {
		m, n := protowire.ConsumeGroup(f.num, b)
		if n < 0 {
			return dst, b, e.malformed(b)
		}
		dst, err := e.message(dst, p, m)
		return dst, b[n:], err
	}
	if e.depth++; e.depth > maxWireDepth {
		return dst, b, e.fail(b, "nested more than %d messages deep", maxWireDepth)
	}
	if len(dst) > e.room {
		var err error
		if dst, err = e.overflow(dst); err != nil {
			return dst, b, err
		}
	}
	dst = append(dst, '{')
	dst, rest, err := e.fields(dst, p, b, f.num)
	if err == nil {
		dst = closed(dst, '}')
	}
	e.depth--
	return dst, rest, err
}

func (e *encoder) varint(dst []byte, f *fieldPlan, v uint64) []byte {
	switch f.op {
	case opBool:
		if v != 0 {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case opInt32:
		return appendInt(dst, int64(int32(v)))
	case opSint32:
		return appendInt(dst, int64(int32(protowire.DecodeZigZag(v&math.MaxUint32))))
	case opUint32:
		return appendUint(dst, uint64(uint32(v)))
	case opInt64:
		return e.int64(dst, int64(v))
	case opSint64:
		return e.int64(dst, protowire.DecodeZigZag(v))
	case opUint64:
		return e.uint64(dst, v)
	case opEnum:
		if !e.EnumNumbers {
			if name := f.enum.name(int32(v)); name != "" {
				return append(dst, name...)
			}
		}
		return appendInt(dst, int64(int32(v)))
	}
	return append(dst, "null"...)
}

func (e *encoder) fixed32(dst []byte, f *fieldPlan, v uint32) []byte {
	switch f.op {
	case opFloat:
		return appendFloat(dst, float32Of(v), 32)
	case opFixed32:
		return appendUint(dst, uint64(v))
	}
	return appendInt(dst, int64(int32(v)))
}

func (e *encoder) fixed64(dst []byte, f *fieldPlan, v uint64) []byte {
	switch f.op {
	case opDouble:
		return appendFloat(dst, math.Float64frombits(v), 64)
	case opFixed64:
		return e.uint64(dst, v)
	}
	return e.int64(dst, int64(v))
}

func (e *encoder) int64(dst []byte, v int64) []byte {
	if e.Int64Numbers {
		return appendInt(dst, v)
	}
	dst = append(dst, '"')
	dst = appendInt(dst, v)
	return append(dst, '"')
}

func (e *encoder) uint64(dst []byte, v uint64) []byte {
	if e.Int64Numbers {
		return appendUint(dst, v)
	}
	dst = append(dst, '"')
	dst = appendUint(dst, v)
	return append(dst, '"')
}
