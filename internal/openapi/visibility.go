package openapi

import (
	"slices"
	"strings"

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

// showsRoute reports whether a document has a route.
func (w *writer) showsRoute(r *described) bool {
	return w.shown(r.Method.Descriptor.Parent()) && w.shown(r.Method.Descriptor)
}
