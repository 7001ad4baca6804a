package transcoder

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// AppendSubmessage writes a whole message as a field of its parent.
func AppendSubmessage(dst []byte, field protoreflect.FieldDescriptor, message []byte) []byte {
	if field.Kind() == protoreflect.GroupKind {
		dst = protowire.AppendTag(dst, field.Number(), protowire.StartGroupType)
		dst = append(dst, message...)
		return protowire.AppendTag(dst, field.Number(), protowire.EndGroupType)
	}
	dst = protowire.AppendTag(dst, field.Number(), protowire.BytesType)
	return protowire.AppendBytes(dst, message)
}

// appendMaskPaths writes a google.protobuf.FieldMask as a field of its parent.
func appendMaskPaths(dst []byte, field protoreflect.FieldDescriptor, paths []string) []byte {
	const pathsNumber protowire.Number = 1
	var mask []byte
	for _, p := range paths {
		mask = protowire.AppendTag(mask, pathsNumber, protowire.BytesType)
		mask = protowire.AppendString(mask, p)
	}
	return AppendSubmessage(dst, field, mask)
}

// submessage returns a message field out of its parent's wire form; nil if it is
// not set. A field that stands there several times is merged, as the wire format
// says, by putting its parts behind each other.
func submessage(wire []byte, number protowire.Number) []byte {
	var found []byte
	for n := 0; len(wire) > 0; {
		num, kind, m := protowire.ConsumeTag(wire)
		if m < 0 {
			return found
		}
		wire = wire[m:]
		size := protowire.ConsumeFieldValue(num, kind, wire)
		if size < 0 {
			return found
		}
		if num == number && kind == protowire.BytesType {
			part, _ := protowire.ConsumeBytes(wire[:size])
			if n++; n == 1 {
				found = part
			} else {
				found = append(found[:len(found):len(found)], part...)
			}
		}
		wire = wire[size:]
	}
	return found
}
