package policy

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// merge lays the layers over each other, the widest first: a field that is set
// at a narrower one replaces the wider one's whole. origin tells the layer each
// field came from. The result shares the layers' messages and must not be
// changed.
func merge(layers []Layer) (*transomv1.Policy, map[protoreflect.Name]int) {
	merged := &transomv1.Policy{}
	origin := map[protoreflect.Name]int{}
	for i, layer := range layers {
		if layer.Policy == nil {
			continue
		}
		layer.Policy.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			merged.ProtoReflect().Set(field, value)
			origin[field.Name()] = i
			return true
		})
	}
	return merged, origin
}

// at is the place of a field of the layer's policy.
func (l Layer) at(path string) string {
	if l.Position != nil {
		if where := l.Position(path); where != "" {
			return where
		}
	}
	return l.Where
}

// topField is the first name of a path: "auth" of "auth.jwt.issuers[0]".
func topField(path string) protoreflect.Name {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		path = path[:i]
	}
	return protoreflect.Name(path)
}
