package jsonwire

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// wireForm is how a field is written in wire format.
type wireForm struct {
	op   op
	card cardinality
	// typ is the wire type of one element.
	typ protowire.Type
	// packed: lists are written packed. packable: they may arrive packed.
	packed, packable bool
	// utf8: the wire's bytes must be UTF-8 although another value overrides them.
	utf8 bool
	// simple tells what decoder.run writes.
	simple bool
	// tagByte is the tag if it is one byte, else 0.
	tagByte byte

	num protowire.Number
	// tag, packedTag and endTag are encoded tags.
	tag, packedTag, endTag string
}

func newWireForm(d protoreflect.FieldDescriptor) wireForm {
	w := wireForm{num: d.Number(), op: opOf(d), utf8: d.Kind() == protoreflect.StringKind && enforceUTF8(d)}
	switch {
	case d.IsMap():
		w.card = mapping
	case d.IsList():
		w.card = list
	}
	w.typ = wireType(w.op)
	w.packable = d.IsList() && w.op <= lastNumeric
	w.packed = w.packable && d.IsPacked()
	w.tag = string(protowire.AppendTag(nil, w.num, w.typ))
	w.packedTag = string(protowire.AppendTag(nil, w.num, protowire.BytesType))
	w.endTag = string(protowire.AppendTag(nil, w.num, protowire.EndGroupType))
	if len(w.tag) == 1 {
		w.tagByte = w.tag[0]
	}
	return w
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
