package policy

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Explained is one line about a Set, for people.
type Explained struct {
	// Name is the field of transom.v1.Policy.
	Name string
	// Summary says what it does.
	Summary string
	// Where says which place it comes from: "bookstore.proto:12:3",
	// "transom.yaml:30:5".
	Where string
}

// Explain lists the policies in the order in which they admit a call, then the
// settings that are no decisions.
func (s *Set) Explain() []Explained { return s.explained }

// explain describes what was made.
func (s *Scope) explain(parts []Part) []Explained {
	var lines []Explained
	done := map[string]bool{}
	for _, p := range parts {
		summary := ""
		if d, ok := p.(interface{ Summary() string }); ok {
			summary = d.Summary()
		}
		lines = append(lines, Explained{p.Name(), summary, s.Where(p.Name())})
		done[p.Name()] = true
	}
	fields := s.Policy.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if _, set := s.origin[field.Name()]; set && !done[string(field.Name())] {
			lines = append(lines, Explained{string(field.Name()), settingText(s.Policy, field), s.Where(string(field.Name()))})
		}
	}
	return lines
}

// settingText writes a field that no policy describes: a duration as such, else
// its fields on one line.
func settingText(p *transomv1.Policy, field protoreflect.FieldDescriptor) string {
	value := p.ProtoReflect().Get(field)
	if field.IsList() {
		var text bytes.Buffer
		for i := range value.List().Len() {
			text.WriteString([]string{"", "; "}[min(i, 1)] + Text(value.List().Get(i).Message().Interface()))
		}
		return text.String()
	}
	if field.Message() == nil {
		return value.String()
	}
	m := value.Message().Interface()
	if auth, ok := m.(*transomv1.Auth); ok && auth.GetAnonymous() != nil {
		return "anonymous: anybody may call"
	}
	if d, ok := m.(*durationpb.Duration); ok {
		return span.Text(d.AsDuration())
	}
	return Text(m)
}

// Text writes the fields of a message that are set on one line, for a summary: "max_body_bytes 16384, http_status".
func Text(m proto.Message) string {
	var parts []string
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); m.ProtoReflect().Has(f) {
			parts = append(parts, fieldText(f, m.ProtoReflect().Get(f)))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "{}")
}

// fieldText is the name of a field and its value; of a switch that is on, the name alone.
func fieldText(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	var values []string
	switch {
	case f.IsList():
		for i := range v.List().Len() {
			values = append(values, valueText(f, v.List().Get(i)))
		}
	case f.IsMap():
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			values = append(values, k.String()+"="+valueText(f.MapValue(), v))
			return true
		})
		slices.Sort(values)
	case f.Kind() == protoreflect.BoolKind && v.Bool():
	default:
		values = []string{valueText(f, v)}
	}
	return strings.Join(append([]string{string(f.Name())}, values...), " ")
}

// valueText is one value.
func valueText(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case f.Enum() != nil && f.Enum().Values().ByNumber(v.Enum()) != nil:
		return string(f.Enum().Values().ByNumber(v.Enum()).Name())
	case f.Message() == nil:
		if text := v.String(); !strings.ContainsAny(text, " ,;()\n") {
			return text
		}
		return strconv.Quote(v.String())
	}
	if d, ok := v.Message().Interface().(*durationpb.Duration); ok {
		return span.Text(d.AsDuration())
	}
	return "(" + Text(v.Message().Interface()) + ")"
}
