package gateway

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// wireField is a field that is read from messages in wire format.
type wireField struct {
	path    []string
	numbers []protowire.Number // nil: the message has no such field
	problem string             // why it has a field of that path that cannot be read
}

// newWireField reads a path such as "book.name", or "{book.name}" as templates write it.
func newWireField(text string) wireField {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		text = strings.TrimSuffix(inner, "}")
	}
	return wireField{path: strings.Split(text, ".")}
}

// fieldOf finds the field of that path in the request of a unary method.
func fieldOf(d protoreflect.MethodDescriptor, path []string) wireField {
	f := wireField{path: path}
	if d.IsStreamingClient() || d.IsStreamingServer() {
		return f
	}
	message, numbers := d.Input(), []protowire.Number(nil)
	for i, name := range path {
		field := message.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			return f
		}
		numbers = append(numbers, field.Number())
		last := i == len(path)-1
		if f.problem = unreadable(field, last); f.problem != "" {
			return f
		}
		if !last {
			message = field.Message()
		}
	}
	f.numbers = numbers
	return f
}

// unreadable says why a field is no key, or leads to none; "" where it is or does.
func unreadable(f protoreflect.FieldDescriptor, last bool) string {
	kind := f.Kind()
	isMessage := kind == protoreflect.MessageKind || kind == protoreflect.GroupKind
	switch {
	case f.IsMap():
		return fmt.Sprintf("%s is a map", f.FullName())
	case f.IsList():
		return fmt.Sprintf("%s is a list", f.FullName())
	case last && isMessage:
		return fmt.Sprintf("%s is a message", f.FullName())
	case !last && kind != protoreflect.MessageKind:
		return fmt.Sprintf("%s has no fields", f.FullName())
	case last && (kind == protoreflect.FloatKind || kind == protoreflect.DoubleKind):
		return fmt.Sprintf("%s is a floating-point number", f.FullName())
	}
	return ""
}

// value returns the field's value in a message: the bytes of a text or, in wire format, of
// a number; nil where it is not there, has the value that it has by default, or cannot be
// read.
func (f *wireField) value(message []byte) []byte {
	value, ok := find(message, f.numbers)
	if !ok {
		return nil
	}
	return value
}

// find returns the last value of a field. It reports false for a message that is
// malformed.
func find(message []byte, path []protowire.Number) (value []byte, ok bool) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, false
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return nil, false
		}
		raw := message[:n]
		message = message[n:]
		if len(path) == 0 || number != path[0] {
			continue
		}
		if kind == protowire.BytesType {
			raw, _ = protowire.ConsumeBytes(raw)
		} else if slices.IndexFunc(raw, func(b byte) bool { return b != 0 }) < 0 {
			raw = nil // zero
		}
		if len(path) == 1 {
			value = raw
			continue
		}
		inner, ok := find(raw, path[1:])
		if !ok {
			return nil, false
		}
		if inner != nil {
			value = inner
		}
	}
	return value, true
}
