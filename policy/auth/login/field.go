package login

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
)

// fieldPath leads from a message to one of its fields through singular
// messages.
type fieldPath []protoreflect.FieldDescriptor

// fieldUse says what a field is needed for.
type fieldUse int

const (
	// readsText needs strings, integers or enums, one or many.
	readsText fieldUse = 1 << iota
	// readsScalar needs anything but messages, one or many.
	readsScalar
	// needsOne forbids many.
	needsOne
	// writesString needs one string.
	writesString
)

// fieldPath resolves a dotted path of proto names in the method's answer, where
// it stands at the place `at` of the policy. Nil: it was refused.
func newFieldPath(s *policy.Scope, at, path string, use fieldUse) fieldPath {
	if path == "" {
		s.Refuse(at, "%s: found nothing, expected a field of %s", at, s.Method.Output().FullName())
		return nil
	}
	var found fieldPath
	message := s.Method.Output()
	for name := range strings.SplitSeq(path, ".") {
		if message == nil {
			s.Refuse(at, "%s: %q goes beyond %s, which is no single message", at, path, found[len(found)-1].FullName())
			return nil
		}
		field := message.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			s.Refuse(at, "%s: found %q, but %s has no field %q; it has %s", at, path, message.FullName(), name, fieldNames(message))
			return nil
		}
		found = append(found, field)
		if message = nil; field.Message() != nil && field.Cardinality() != protoreflect.Repeated {
			message = field.Message()
		}
	}
	if problem := unfit(found[len(found)-1], use); problem != "" {
		s.Refuse(at, "%s: %q is %s", at, path, problem)
		return nil
	}
	return found
}

// unfit tells why a field cannot be used; empty if it can.
func unfit(field protoreflect.FieldDescriptor, use fieldUse) string {
	kind := field.Kind()
	text := kind == protoreflect.StringKind || kind == protoreflect.EnumKind || isInteger(kind)
	switch {
	case field.Message() != nil:
		return fmt.Sprintf("a %s, expected a scalar field", kind)
	case use&writesString != 0 && (kind != protoreflect.StringKind || field.IsList()):
		return "no single string, and the token is one"
	case use&readsText != 0 && !text:
		return fmt.Sprintf("a %s, expected a string, an integer or an enum", kind)
	case use&needsOne != 0 && field.IsList():
		return "repeated, expected one value"
	}
	return ""
}

func isInteger(kind protoreflect.Kind) bool {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return true
	}
	return false
}

func fieldNames(message protoreflect.MessageDescriptor) string {
	fields := message.Fields()
	if fields.Len() == 0 {
		return "none"
	}
	names := make([]string, 0, fields.Len())
	for i := range fields.Len() {
		names = append(names, string(fields.Get(i).Name()))
	}
	return strings.Join(names, ", ")
}

// String is the path as it is written in a policy.
func (p fieldPath) String() string {
	names := make([]string, len(p))
	for i, field := range p {
		names[i] = string(field.Name())
	}
	return strings.Join(names, ".")
}

// find goes to the field; ok is false where a message on the way is not set.
func (p fieldPath) find(m protoreflect.Message) (in protoreflect.Message, last protoreflect.FieldDescriptor, ok bool) {
	if len(p) == 0 {
		return nil, nil, false
	}
	for _, field := range p[:len(p)-1] {
		if !m.Has(field) {
			return nil, nil, false
		}
		m = m.Get(field).Message()
	}
	return m, p[len(p)-1], true
}

// texts reads the field as strings; enums give their names. An empty string, 0
// and the first value of an enum are none: an answer that says nothing of a user
// must not log user 0 in.
func (p fieldPath) texts(m protoreflect.Message) []string {
	m, last, ok := p.find(m)
	if !ok || !m.Has(last) {
		return nil
	}
	value := m.Get(last)
	if last.HasPresence() && !last.IsList() && value.Equal(last.Default()) {
		return nil
	}
	if !last.IsList() {
		return []string{scalarText(last, value)}
	}
	var texts []string
	for i := range value.List().Len() {
		texts = append(texts, scalarText(last, value.List().Get(i)))
	}
	return texts
}

func scalarText(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	if field.Kind() == protoreflect.EnumKind {
		if v := field.Enum().Values().ByNumber(value.Enum()); v != nil {
			return string(v.Name())
		}
		return strconv.Itoa(int(value.Enum()))
	}
	return value.String()
}

// value reads the field as a claim: a string, a bool, a number as plainNumber has
// it, or a list of them; nil if it is not set. Integers above an int64 become
// strings, bytes base64.
func (p fieldPath) value(m protoreflect.Message) any {
	m, last, ok := p.find(m)
	if !ok || last.HasPresence() && !m.Has(last) {
		return nil
	}
	value := m.Get(last)
	if !last.IsList() {
		return scalarClaim(last, value)
	}
	list := []any{}
	for i := range value.List().Len() {
		list = append(list, scalarClaim(last, value.List().Get(i)))
	}
	return list
}

func scalarClaim(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch v := value.Interface().(type) {
	case bool, string, int64:
		return v
	case int32:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		if v <= 1<<63-1 {
			return int64(v)
		}
		return strconv.FormatUint(v, 10)
	case float32:
		return auth.PlainFloat(float64(v))
	case float64:
		return auth.PlainFloat(v)
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	}
	return scalarText(field, value)
}

// appendString sets the field in a message in wire format by writing it behind:
// what comes later wins, and messages on the way are merged.
func (p fieldPath) appendString(message []byte, s string) []byte {
	last := p[len(p)-1]
	inner := protowire.AppendString(protowire.AppendTag(nil, last.Number(), protowire.BytesType), s)
	for i := len(p) - 2; i >= 0; i-- {
		number := p[i].Number()
		if p[i].Kind() == protoreflect.GroupKind {
			inner = append(protowire.AppendTag(nil, number, protowire.StartGroupType), inner...)
			inner = protowire.AppendTag(inner, number, protowire.EndGroupType)
		} else {
			inner = protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), inner)
		}
	}
	return append(message[:len(message):len(message)], inner...)
}
