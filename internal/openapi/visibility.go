package openapi

import (
	"regexp"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/visibility"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
)

// shown reports whether a document has an element: one without a restriction of google.api, or
// with one that is asked for (Surface 224). A field whose type is not shown is not either.
func (w *writer) shown(d protoreflect.Descriptor) bool {
	extension := visibility.E_ApiVisibility
	switch d := d.(type) {
	case protoreflect.MethodDescriptor:
		extension = visibility.E_MethodVisibility
	case protoreflect.MessageDescriptor:
		extension = visibility.E_MessageVisibility
	case protoreflect.EnumDescriptor:
		extension = visibility.E_EnumVisibility
	case protoreflect.EnumValueDescriptor:
		extension = visibility.E_ValueVisibility
	case protoreflect.FieldDescriptor:
		if d.IsMap() {
			if !w.shown(d.MapValue()) {
				return false
			}
		} else if d.Message() != nil && !w.shown(d.Message()) || d.Enum() != nil && !w.shown(d.Enum()) {
			return false
		}
		extension = visibility.E_FieldVisibility
	}
	rule, _ := schema.Option(d, extension).(*visibility.VisibilityRule)
	return rule.GetRestriction() == "" || w.listed(rule.GetRestriction())
}

// listed reports whether one of the labels of a restriction is to be shown.
func (w *writer) listed(restriction string) bool {
	for label := range strings.SplitSeq(restriction, ",") {
		if slices.Contains(w.visibility, strings.TrimSpace(label)) {
			return true
		}
	}
	return false
}

// identifier is a name in an expression.
var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// open are the rules of a message in CEL that name no field which is not shown.
func (s *schemas) open(m protoreflect.MessageDescriptor, rules *validate.MessageRules) (cel []*validate.Rule, expressions []string) {
	hidden := s.writer.hiddenNames(m)
	names := func(text string) bool {
		return slices.ContainsFunc(identifier.FindAllString(text, -1), func(name string) bool { return hidden[name] })
	}
	for _, rule := range rules.GetCel() {
		if !names(rule.GetExpression()) {
			cel = append(cel, rule)
		}
	}
	for _, text := range rules.GetCelExpression() {
		if !names(text) {
			expressions = append(expressions, text)
		}
	}
	return cel, expressions
}

// hiddenNames are those of fields that are not shown, of a message with rules and of what it leads to.
func (w *writer) hiddenNames(m protoreflect.MessageDescriptor) map[string]bool {
	hidden := map[string]bool{}
	for below := range schema.Reachable(m) {
		for i := range below.Fields().Len() {
			if f := below.Fields().Get(i); !w.shown(f) {
				hidden[string(f.Name())] = true
			}
		}
	}
	return hidden
}

// showsRoute reports whether a document has a route.
func (w *writer) showsRoute(r *described) bool {
	return w.shown(r.Method.Descriptor.Parent()) && w.shown(r.Method.Descriptor)
}
