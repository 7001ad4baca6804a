package jsonwire

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// op says how a value is read and written. The order matters: the kinds that are
// varints on the wire come first.
type op uint8

const (
	opBool op = iota
	opInt32
	opSint32
	opUint32
	opInt64
	opSint64
	opUint64
	opEnum
	opNull // google.protobuf.NullValue
	opSfixed32
	opFixed32
	opFloat
	opSfixed64
	opFixed64
	opDouble
	opString
	opBytes
	opMessage
	opGroup

	lastVarint  = opNull
	lastNumeric = opDouble
)

// is64 tells the integers that JSON writes as strings.
func (o op) is64() bool {
	return o == opInt64 || o == opSint64 || o == opUint64 || o == opSfixed64 || o == opFixed64
}

type cardinality uint8

const (
	single cardinality = iota
	list
	mapping
)

// fieldPlan is a field, compiled.
type fieldPlan struct {
	op   op
	card cardinality
	// typ is the wire type of one element.
	typ protowire.Type
	// packed: lists are written packed. packable: they may arrive packed.
	packed, packable bool
	// utf8: the wire's bytes must be UTF-8 although another value overrides them.
	utf8 bool
	// implicit: zero is the same as unset.
	implicit bool
	// value: null is a value of the field (google.protobuf.Value, NullValue).
	null bool

	num protowire.Number
	// tag, packedTag and endTag are encoded tags.
	tag, packedTag, endTag string

	// bit is the field's place among the seen fields of its message, in the order
	// of declaration; slot the same for the data on the wire, in the order of
	// numbers, where the members of a oneof share one after all fields.
	bit, slot int
	// place is where the field belongs in the order of numbers: the members of a
	// oneof share the lowest of theirs, as most serialisers write them there.
	place protowire.Number
	// mark is the bit of the slot. before are the near slots of the fields that
	// belong before this one. Of a loose field they are all: where it stands says
	// little.
	mark, before uint64
	// loose: serialisers may write the field at another place than its number's.
	// Some write the member of a oneof where its first member belongs or after all
	// other fields, and extensions before these.
	loose bool
	// oneof is the place of the field's real oneof among the seen ones, or -1.
	oneof int
	// required is the place where JSON input notes that a required field is set, 0
	// for other fields.
	required int

	// tagByte is the tag if it is one byte, else 0.
	tagByte byte

	// keys are the quoted names with a colon: JSON's and proto's. opened are the
	// same with what every value of the field begins with: a quote, a bracket.
	keys   [2]string
	opened [2]fixedText
	// head and tail are the first and the last eight bytes of the JSON key, as
	// little-endian words; of a shorter key head is all, and mask covers it.
	head, mask, tail uint64
	// unset is the field as the settings write it when it is not set, with its key
	// and comma, nil for not at all: [omit, defaults, nulls][JSON, proto].
	unset [3][2]*fixedText

	desc   protoreflect.FieldDescriptor
	plans  *Plans
	enum   *enumPlan
	sub    atomic.Pointer[Plan]
	mapKey *fieldPlan
	mapVal *fieldPlan
	// simple tells what decoder.run writes.
	simple bool
	// texts tells a map of strings to strings.
	texts bool
	// hidden: no error repeats the value.
	hidden bool
}

// message returns the plan of the field's message, compiled on first use.
func (f *fieldPlan) message() *Plan {
	if p := f.sub.Load(); p != nil {
		return p
	}
	p := f.plans.Message(f.desc.Message())
	f.sub.Store(p)
	return p
}

func newFieldPlan(s *Plans, d protoreflect.FieldDescriptor) *fieldPlan {
	f := &fieldPlan{
		desc:     d,
		plans:    s,
		num:      d.Number(),
		op:       opOf(d),
		implicit: !d.HasPresence() && !d.IsList() && !d.IsMap(),
		utf8:     d.Kind() == protoreflect.StringKind && enforceUTF8(d),
		oneof:    -1,
		hidden:   s.hidden != nil && s.hidden(d),
	}
	f.typ = wireType(f.op)
	f.packable = d.IsList() && f.op <= lastNumeric
	f.packed = f.packable && d.IsPacked()
	f.tag = string(protowire.AppendTag(nil, f.num, f.typ))
	f.packedTag = string(protowire.AppendTag(nil, f.num, protowire.BytesType))
	f.endTag = string(protowire.AppendTag(nil, f.num, protowire.EndGroupType))
	switch {
	case d.IsMap():
		f.card = mapping
		f.mapKey = newFieldPlan(s, d.MapKey())
		f.mapVal = newFieldPlan(s, d.MapValue())
		f.texts = f.mapKey.op == opString && f.mapVal.op == opString
	case d.IsList():
		f.card = list
	}
	if d.Kind() == protoreflect.EnumKind {
		f.enum = s.enum(d.Enum())
	}
	f.null = f.op == opNull || d.Message() != nil && d.Message().FullName() == "google.protobuf.Value"
	f.keys = [2]string{quoteKey(d.JSONName()), quoteKey(d.TextName())}
	var word [8]byte
	copy(word[:], f.keys[0])
	f.head, f.mask = binary.LittleEndian.Uint64(word[:]), math.MaxUint64
	if n := len(f.keys[0]); n < 8 {
		f.mask = 1<<(8*n) - 1
	} else {
		f.tail = binary.LittleEndian.Uint64([]byte(f.keys[0][n-8:]))
	}
	if len(f.tag) == 1 {
		f.tagByte = f.tag[0]
	}
	for i, key := range f.keys {
		switch {
		case f.card == list:
			f.opened[i] = *newFixedText(key + "[")
		case f.card == mapping:
			f.opened[i] = *newFixedText(key + "{")
		case f.op == opString:
			f.opened[i] = *newFixedText(key + `"`)
		default:
			f.opened[i] = *newFixedText(key)
		}
	}
	if d.ContainingOneof() == nil && !d.IsExtension() {
		zero := f.zeroText()
		for i, key := range f.keys {
			if i > 0 && key == f.keys[0] {
				f.unset[unsetZero][i], f.unset[unsetNull][i] = f.unset[unsetZero][0], f.unset[unsetNull][0]
				continue
			}
			if d.HasPresence() {
				f.unset[unsetNull][i] = newFixedText(key + "null,")
				continue
			}
			text := newFixedText(key + zero + ",")
			f.unset[unsetZero][i], f.unset[unsetNull][i] = text, text
		}
	}
	return f
}

// zeroText is the JSON of the field's zero, with names of enums and quoted
// 64-bit integers.
func (f *fieldPlan) zeroText() string {
	switch f.card {
	case list:
		return "[]"
	case mapping:
		return "{}"
	}
	switch f.op {
	case opBool:
		return "false"
	case opString, opBytes:
		return `""`
	case opEnum:
		return f.enum.text(int32(f.desc.Default().Enum()))
	case opNull:
		return "null"
	case opInt64, opSint64, opUint64, opSfixed64, opFixed64:
		return `"0"`
	case opMessage, opGroup:
		return "null"
	}
	return "0"
}

// defaultText is the JSON of what the field holds while it is not set.
func (f *fieldPlan) defaultText() string {
	if !f.desc.HasDefault() || f.card != single {
		return f.zeroText()
	}
	v := f.desc.Default()
	switch f.op {
	case opBool:
		return strconv.FormatBool(v.Bool())
	case opString:
		quoted, _ := appendString(nil, []byte(v.String()))
		return string(quoted)
	case opBytes:
		return `"` + base64.StdEncoding.EncodeToString(v.Bytes()) + `"`
	case opEnum:
		return f.enum.text(int32(v.Enum()))
	case opFloat:
		return string(appendFloat(nil, v.Float(), 32))
	case opDouble:
		return string(appendFloat(nil, v.Float(), 64))
	case opInt64, opSint64, opUint64, opSfixed64, opFixed64:
		return `"` + v.String() + `"`
	}
	return v.String()
}

func quoteKey(name string) string {
	quoted, _ := appendString(nil, []byte(name)) // names of descriptors are UTF-8
	return string(quoted) + ":"
}

func opOf(d protoreflect.FieldDescriptor) op {
	switch d.Kind() {
	case protoreflect.BoolKind:
		return opBool
	case protoreflect.Int32Kind:
		return opInt32
	case protoreflect.Sint32Kind:
		return opSint32
	case protoreflect.Uint32Kind:
		return opUint32
	case protoreflect.Int64Kind:
		return opInt64
	case protoreflect.Sint64Kind:
		return opSint64
	case protoreflect.Uint64Kind:
		return opUint64
	case protoreflect.EnumKind:
		if d.Enum().FullName() == "google.protobuf.NullValue" {
			return opNull
		}
		return opEnum
	case protoreflect.Sfixed32Kind:
		return opSfixed32
	case protoreflect.Fixed32Kind:
		return opFixed32
	case protoreflect.FloatKind:
		return opFloat
	case protoreflect.Sfixed64Kind:
		return opSfixed64
	case protoreflect.Fixed64Kind:
		return opFixed64
	case protoreflect.DoubleKind:
		return opDouble
	case protoreflect.StringKind:
		return opString
	case protoreflect.BytesKind:
		return opBytes
	case protoreflect.GroupKind:
		return opGroup
	}
	return opMessage
}

func wireType(o op) protowire.Type {
	switch {
	case o <= lastVarint:
		return protowire.VarintType
	case o <= opFloat:
		return protowire.Fixed32Type
	case o <= opDouble:
		return protowire.Fixed64Type
	case o == opGroup:
		return protowire.StartGroupType
	}
	return protowire.BytesType
}

// enforceUTF8 reports whether a parser refuses other bytes in the field.
func enforceUTF8(d protoreflect.FieldDescriptor) bool {
	if d.ParentFile().Syntax() == protoreflect.Editions {
		if e, ok := d.(interface{ EnforceUTF8() bool }); ok {
			return e.EnforceUTF8()
		}
	}
	return d.ParentFile().Syntax() == protoreflect.Proto3
}

// float32Of reads the bits of a float.
func float32Of(bits uint32) float64 { return float64(math.Float32frombits(bits)) }
