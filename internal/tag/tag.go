// Package tag is the text of a tag with fields of a message, such as "shelf:{book.name}". It
// is read when the schema loads, and written over messages in canonical form.
package tag

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Template is one text. It is immutable.
type Template struct {
	// Text is as it was written.
	Text string
	// Response tells that its fields are those of the answer.
	Response bool

	parts []piece
}

// piece is a piece of a template: literal text and, where path is not nil, a field behind it.
type piece struct {
	literal string
	path    []protowire.Number
	field   protoreflect.FieldDescriptor // the last of the path
	names   map[int64]string             // of an enum's values
	zero    string                       // where the field is not set
}

// Parse reads a template over a request, or with "response." its answer.
func Parse(text string, in, out protoreflect.MessageDescriptor) (t Template, err error) {
	if text == "" || len(text) > 256 {
		return t, fmt.Errorf("found %q, expected 1 to 256 bytes", text)
	}
	t.Text = text
	fields := 0
	for rest := text; rest != ""; {
		literal, after, open := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return t, fmt.Errorf("found %q, where a } closes nothing; expected text and fields in braces, such as \"shelf:{name}\"", text)
		}
		p := piece{literal: literal}
		if rest = ""; open {
			path, behind, closed := strings.Cut(after, "}")
			if !closed {
				return t, fmt.Errorf("found %q, where a { is not closed; expected text and fields in braces, such as \"shelf:{name}\"", text)
			}
			m := in
			own, response := strings.CutPrefix(path, "response.")
			if response && in.Fields().ByName("response") == nil {
				m, path = out, own
			} else {
				response = false
			}
			if fields > 0 && response != t.Response {
				return t, fmt.Errorf("found %q, with fields of the request and of the answer; expected those of one of them", text)
			}
			t.Response = response
			if err := p.resolve(path, m); err != nil {
				return t, fmt.Errorf("found %q: %w", text, err)
			}
			fields++
			rest = behind
		}
		t.parts = append(t.parts, p)
	}
	return t, nil
}

// resolve finds the field of a path such as "book.name".
func (p *piece) resolve(path string, m protoreflect.MessageDescriptor) error {
	names := strings.Split(path, ".")
	for i, n := range names {
		f := m.Fields().ByName(protoreflect.Name(n))
		switch {
		case f == nil:
			return fmt.Errorf("%s has no field %q", m.FullName(), n)
		case f.IsList() || f.IsMap():
			return fmt.Errorf("the field %q has many values, expected one", f.FullName())
		}
		p.path = append(p.path, f.Number())
		if i < len(names)-1 {
			if f.Kind() != protoreflect.MessageKind {
				return fmt.Errorf("the field %q has no fields", f.FullName())
			}
			m = f.Message()
			continue
		}
		p.field = f
	}
	switch f := p.field; f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind, protoreflect.BytesKind, protoreflect.FloatKind, protoreflect.DoubleKind:
		return fmt.Errorf("the field %q is of kind %v, expected text, a whole number, a bool or an enum", f.FullName(), f.Kind())
	case protoreflect.EnumKind:
		p.names = map[int64]string{}
		for i := range f.Enum().Values().Len() {
			if v := f.Enum().Values().Get(i); p.names[int64(v.Number())] == "" {
				p.names[int64(v.Number())] = string(v.Name())
			}
		}
		p.zero = p.names[int64(f.Default().Enum())]
	default:
		p.zero = f.Default().String()
	}
	return nil
}

// Render writes a tag over a message in canonical form.
func (t *Template) Render(message []byte) string {
	var b []byte
	for i := range t.parts {
		p := &t.parts[i]
		b = append(b, p.literal...)
		if p.path != nil {
			b = p.append(b, message)
		}
	}
	return string(b)
}

// Meets reports whether the texts of two templates may be equal, where a field may hold anything.
func (t *Template) Meets(other *Template) bool {
	a, b := t.Pattern(), other.Pattern()
	switch {
	case len(a) == 1:
		return Fits(b, a[0])
	case len(b) == 1:
		return Fits(a, b[0])
	}
	begin := min(len(a[0]), len(b[0]))
	x, y := a[len(a)-1], b[len(b)-1]
	end := min(len(x), len(y))
	return a[0][:begin] == b[0][:begin] && x[len(x)-end:] == y[len(y)-end:]
}

// Pattern is the literal text before, between and behind the fields.
func (t *Template) Pattern() []string {
	pattern := []string{""}
	for i := range t.parts {
		pattern[len(pattern)-1] += t.parts[i].literal
		if t.parts[i].path != nil {
			pattern = append(pattern, "")
		}
	}
	return pattern
}

// Fits reports whether a text may be of a pattern.
func Fits(pattern []string, text string) bool {
	last := len(pattern) - 1
	if last == 0 {
		return text == pattern[0]
	}
	rest, begins := strings.CutPrefix(text, pattern[0])
	if !begins {
		return false
	}
	for _, literal := range pattern[1:last] {
		_, behind, found := strings.Cut(rest, literal)
		if !found {
			return false
		}
		rest = behind
	}
	return strings.HasSuffix(rest, pattern[last])
}

// append writes the field's value. A canonical message has each field once.
func (p *piece) append(b, message []byte) []byte {
	for i, number := range p.path {
		value, ok := find(message, number, p.field.Kind(), i == len(p.path)-1)
		if !ok {
			return append(b, p.zero...)
		}
		message = value
	}
	return p.text(b, message)
}

// find returns the bytes of a field's value.
func find(message []byte, number protowire.Number, kind protoreflect.Kind, last bool) ([]byte, bool) {
	want := protowire.BytesType
	if last {
		want = wireType(kind)
	}
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, false
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(num, typ, message)
		if size < 0 {
			return nil, false
		}
		if num == number && typ == want {
			if typ == protowire.BytesType {
				value, _ := protowire.ConsumeBytes(message)
				return value, true
			}
			return message[:size], true
		}
		message = message[size:]
	}
	return nil, false
}

func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.StringKind:
		return protowire.BytesType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return protowire.Fixed64Type
	}
	return protowire.VarintType
}

// text writes a value as protobuf's JSON would, without quotes.
func (p *piece) text(b, value []byte) []byte {
	var v uint64
	switch kind := p.field.Kind(); wireType(kind) {
	case protowire.BytesType:
		return append(b, value...)
	case protowire.Fixed32Type:
		fixed, _ := protowire.ConsumeFixed32(value)
		if v = uint64(fixed); kind == protoreflect.Sfixed32Kind {
			v = uint64(int64(int32(fixed))) //nolint:gosec // the sign is meant
		}
	case protowire.Fixed64Type:
		v, _ = protowire.ConsumeFixed64(value)
	default:
		v, _ = protowire.ConsumeVarint(value)
	}
	switch p.field.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v != 0)
	case protoreflect.EnumKind:
		if n := p.names[int64(int32(v))]; n != "" { //nolint:gosec // the sign is meant
			return append(b, n...)
		}
		return strconv.AppendInt(b, int64(int32(v)), 10) //nolint:gosec // the sign is meant
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(b, v, 10)
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return strconv.AppendInt(b, protowire.DecodeZigZag(v), 10)
	}
	return strconv.AppendInt(b, int64(v), 10) //nolint:gosec // the sign is meant
}
