package policy

import (
	"bytes"
	"encoding/json"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
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
// JSON on one line.
func settingText(p *transomv1.Policy, field protoreflect.FieldDescriptor) string {
	value := p.ProtoReflect().Get(field)
	if field.IsList() {
		var text bytes.Buffer
		for i := range value.List().Len() {
			text.WriteString([]string{"", ", "}[min(i, 1)] + Text(value.List().Get(i).Message().Interface()))
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

// Text writes a message as JSON on one line, for a summary.
func Text(m proto.Message) string {
	loose, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return strconv.Quote(err.Error())
	}
	// protojson's white space is random by design.
	var text bytes.Buffer
	if err := json.Compact(&text, loose); err != nil {
		return strconv.Quote(err.Error())
	}
	return text.String()
}
