package openapi

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/transom-gateway/transom/internal/schema"
)

const schemaPlace = "#/components/schemas/"

// nameSchemas gives the schemas of a finished document the names that the settings ask for, in
// place of full ones (Surface 206).
func (w *writer) nameSchemas(root *object) {
	if !w.api.ShortNames && !w.api.GRPCGateway || w.api.QualifiedNames {
		return
	}
	names := w.source.schemaNames()
	to := map[string]string{}
	taken := map[string]bool{}
	for name := range w.bodies {
		taken[name] = true
	}
	for _, key := range slices.Sorted(maps.Keys(w.schemas.named)) {
		full := string(w.schemas.named[key].of.FullName())
		name := cmp.Or(names[full], full) + strings.TrimPrefix(key, full)
		if taken[name] {
			name = key // joined without dots, two names can be one
		}
		taken[name] = true
		to[key] = name
	}
	renameReferences(root, to, map[*object]bool{})
	components, _ := root.get("components").(*object)
	schemas, _ := components.get("schemas").(*object)
	if schemas == nil {
		return
	}
	byName := map[string]*object{}
	for i, name := range schemas.keys {
		schema, _ := schemas.values[i].(*object)
		byName[cmp.Or(to[name], name)] = schema
	}
	components.put("schemas", sorted(byName))
}

// renameReferences follows all that an object has.
func renameReferences(value any, to map[string]string, seen map[*object]bool) {
	switch v := value.(type) {
	case list:
		for _, item := range v {
			renameReferences(item, to, seen)
		}
	case *object:
		if seen[v] {
			return
		}
		seen[v] = true
		for i, key := range v.keys {
			if text, ok := v.values[i].(string); ok && key == "$ref" {
				if name := to[strings.TrimPrefix(text, schemaPlace)]; name != "" {
					v.values[i] = schemaPlace + name
				}
				continue
			}
			renameReferences(v.values[i], to, seen)
		}
	}
}

// schemaNames are the names of all messages and enums that the files of routes know, by full name.
// They are the same in each document of an API.
func (s *Source) schemaNames() map[string]string {
	if s.names != nil {
		return s.names
	}
	all := s.types()
	extra, separator := 0, "."
	if s.api.GRPCGateway && !s.api.ShortNames {
		extra, separator = 1, ""
	}
	count := countEnds(all)
	s.names = map[string]string{}
	for _, name := range all {
		parts := pathOf(name)
		depth := 1
		for depth < len(parts) && count[strings.Join(parts[len(parts)-depth:], ".")] > 1 {
			depth++
		}
		parts = slices.Clone(parts[max(0, len(parts)-depth-extra):])
		if separator == "" {
			camel(parts)
		}
		s.names[name] = strings.Join(parts, separator)
	}
	return s.names
}

// countEnds tells how many of the names end with the same parts.
func countEnds(names []string) map[string]int {
	count := map[string]int{}
	for _, name := range names {
		parts := pathOf(name)
		for i := range parts {
			count[strings.Join(parts[i:], ".")]++
		}
	}
	return count
}

// pathOf are the parts of a full name.
func pathOf(name string) []string { return strings.Split(name, ".") }

// camel writes the parts behind the first with a capital, as protoc-gen-openapiv2 does with those
// of packages.
func camel(parts []string) {
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" && parts[i] == strings.ToLower(parts[i]) {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
}

// types are the full names of all messages and enums that the files of routes know, in order, and
// of methods where bodies are named after these.
func (s *Source) types() []string {
	var names []string
	files := []protoreflect.FileDescriptor{(*spb.Status)(nil).ProtoReflect().Descriptor().ParentFile()}
	for _, r := range s.routes {
		files = append(files, r.Method.Descriptor.ParentFile())
	}
	for f := range schema.Known(files...) {
		names = appendTypes(names, f)
		if s.api.GRPCGateway {
			names = appendMethods(names, f)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// appendMethods appends the names of a file's methods, of which bodies have their names.
func appendMethods(names []string, f protoreflect.FileDescriptor) []string {
	for i := range f.Services().Len() {
		methods := f.Services().Get(i).Methods()
		for j := range methods.Len() {
			names = append(names, string(methods.Get(j).FullName()))
		}
	}
	return names
}

// appendTypes adds the types that a file or a message declares, without entries of maps.
func appendTypes(names []string, of interface {
	Messages() protoreflect.MessageDescriptors
	Enums() protoreflect.EnumDescriptors
},
) []string {
	for i := range of.Enums().Len() {
		names = append(names, string(of.Enums().Get(i).FullName()))
	}
	for i := range of.Messages().Len() {
		m := of.Messages().Get(i)
		names = appendTypes(append(names, string(m.FullName())), m)
	}
	return names
}
