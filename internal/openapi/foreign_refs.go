package openapi

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
)

// withReferences is a value of an option whose schemas refer to components of the document where they name
// messages and enums: by full names, as protoc-gen-openapiv2 has them, or by what gnostic calls them.
func (w *writer) withReferences(value any, at protoreflect.Descriptor, of *dialect, inSchema bool) any {
	switch v := value.(type) {
	case list:
		l := make(list, len(v))
		for i := range v {
			l[i] = w.withReferences(v[i], at, of, inSchema)
		}
		return l
	case *object:
		o := v.clone()
		for i, name := range o.keys {
			if name != "example" && name != "examples" && name != "default" && !strings.HasPrefix(name, "x-") {
				o.values[i] = w.withReferences(o.values[i], at, of, inSchema || name == "schema")
			}
		}
		if reference, ok := o.get("$ref").(string); ok && inSchema {
			return w.refer(o, reference, at, of)
		} else if ok && strings.HasPrefix(reference, partsPlace) {
			return w.part(reference, at, of)
		}
		return o
	}
	return value
}

const partsPlace = "#/components/"

// part is what an option declares and refers to in place of an answer, a header, a parameter or an example. What it refers to itself
// is not there.
func (w *writer) part(reference string, at protoreflect.Descriptor, of *dialect) any {
	kind, name, _ := strings.Cut(strings.TrimPrefix(reference, partsPlace), "/")
	declared, _ := w.parts.get(kind).(*object)
	o, ok := declared.get(name).(*object)
	if !ok || o.has("$ref") {
		w.unused(at, of, "ref", "no option declares "+short(reference))
		return &object{}
	}
	parts := w.parts
	w.parts = &object{} // no reference leads round in a circle
	defer func() { w.parts = parts }()
	return w.withReferences(o, at, of, false)
}

// unread is a value that was not read.
type unread struct{}

// readParts is a value without those that were not read, and without what then is empty.
func readParts(v any) any {
	switch v := v.(type) {
	case list:
		kept := list{}
		for _, one := range v {
			if one = readParts(one); one != (unread{}) {
				kept = append(kept, one)
			}
		}
		if len(kept) == 0 && len(v) > 0 {
			return unread{}
		}
		return kept
	case *object:
		kept := &object{}
		for i, name := range v.keys {
			if one := readParts(v.values[i]); one != any(unread{}) {
				kept.add(name, one)
			}
		}
		if len(kept.keys) == 0 && len(v.keys) > 0 {
			return unread{}
		}
		return kept
	}
	return v
}

// refer has a schema refer to the component that an option means, with what stands beside the reference.
func (w *writer) refer(o *object, reference string, at protoreflect.Descriptor, of *dialect) *object {
	o.remove("$ref")
	name := reference[strings.LastIndexByte(reference, '/')+1:]
	var target *object
	switch d := namedType(at.ParentFile(), strings.TrimPrefix(name, ".")).(type) {
	case protoreflect.MessageDescriptor:
		if w.shown(d) {
			target = w.schemas.message(d, w.schemas.base)
		}
	case protoreflect.EnumDescriptor:
		if w.shown(d) {
			target = w.schemas.reference(d, w.schemas.base)
		}
	}
	if target == nil {
		w.unused(at, of, "ref", "expected the full name of a message or an enum of the file or of one that it imports, found "+short(reference))
		return o
	}
	target = target.clone()
	merge(target, o)
	return target
}

// short is a text of an option in an error.
func short(text string) string {
	const most = 100
	if len(text) > most {
		text = text[:most] + "…"
	}
	return string(appendQuoted(nil, text))
}

// namedType is the message or enum with a full name, or else the first whose name it is, of a file and
// what that imports; nil for none.
func namedType(file protoreflect.FileDescriptor, name string) protoreflect.Descriptor {
	var first protoreflect.Descriptor
	look := func(d protoreflect.Descriptor) bool {
		if string(d.FullName()) == name {
			first = d
			return true
		}
		if first == nil && string(d.Name()) == name {
			first = d
		}
		return false
	}
	for f := range schema.Known(file) {
		if eachType(f, look) {
			break
		}
	}
	return first
}

// types are what declares messages and enums.
type types interface {
	Messages() protoreflect.MessageDescriptors
	Enums() protoreflect.EnumDescriptors
}

// eachType calls look with each type of a file or a message, until it says true.
func eachType(of types, look func(protoreflect.Descriptor) bool) bool {
	for i := range of.Enums().Len() {
		if look(of.Enums().Get(i)) {
			return true
		}
	}
	for i := range of.Messages().Len() {
		if m := of.Messages().Get(i); look(m) || eachType(m, look) {
			return true
		}
	}
	return false
}
