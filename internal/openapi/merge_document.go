package openapi

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// files are those of the services of a document, in the order of their paths.
func files(routes []*described) []protoreflect.FileDescriptor {
	var all []protoreflect.FileDescriptor
	seen := map[protoreflect.FileDescriptor]bool{}
	for _, r := range routes {
		if f := r.Method.Descriptor.ParentFile(); !seen[f] {
			seen[f] = true
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b protoreflect.FileDescriptor) int { return cmp.Compare(a.Path(), b.Path()) })
	return all
}

// readFiles reads what the options of files say of the document. Of two files the first has the
// say.
func (w *writer) readFiles(routes []*described) {
	w.declared, w.said, w.parts = map[string]*object{}, &object{}, &object{}
	w.perFile = map[protoreflect.FileDescriptor][]fragment{}
	for _, file := range files(routes) {
		fragments := w.fragments(file)
		w.perFile[file] = fragments
		for _, f := range slices.Backward(fragments) {
			for i, name := range f.keys {
				w.documentMember(file, f, name, f.values[i])
			}
		}
	}
}

// documentMember takes one member of a document.
func (w *writer) documentMember(file protoreflect.FileDescriptor, f fragment, name string, value any) {
	o, is := value.(*object)
	if !is && (name == "info" || name == "securityDefinitions" || name == "components") {
		w.unused(file, f.of, name, "expected a message")
		return
	}
	switch name {
	case "info":
		w.said.put("info", overlaid(o, w.said.at("info")))
	case "tags":
		tags, _ := value.(list)
		have, _ := w.said.get("tags").(list)
		w.said.set("tags", append(slices.Clone(have), tags...))
	case "securityDefinitions":
		w.declare(file, f.of, o.at("security"))
	case "components":
		w.declare(file, f.of, o.at("securitySchemes"))
		w.parts = overlaid(o, w.parts)
		for _, part := range o.keys {
			if part == "schemas" || part == "links" || part == "callbacks" {
				w.unused(file, f.of, "components."+part, "components are those that operations refer to")
			}
		}
	case "security", "responses", "consumes", "produces": // for each operation of the file
	case "servers", "externalDocs":
		if !w.said.has(name) {
			w.said.put(name, value)
		}
	case "openapi", "swagger": // the version of OpenAPI is that which is asked for
	case "host", "basePath", "schemes":
		w.unused(file, f.of, name, "OpenAPI 3 has servers in place of it: set openapi.servers")
	default:
		if !strings.HasPrefix(name, "x-") {
			w.unused(file, f.of, name, "the document is made of the routes")
			return
		}
		if !w.said.has(name) {
			w.said.put(name, value)
		}
	}
}

// declare keeps security schemes, of which operations name some.
func (w *writer) declare(file protoreflect.FileDescriptor, of *dialect, schemes *object) {
	for i, name := range schemes.keys {
		o, ok := schemes.values[i].(*object)
		switch {
		case !ok || !validComponent(name):
			w.unused(file, of, "securitySchemes."+name, "expected a name of letters, digits, \".\", \"_\" and \"-\", and a message")
		case w.declared[name] == nil:
			w.declared[name] = o
		}
	}
}

// applyFile lays what a file says of each of its operations over one, the weakest first.
func (w *writer) applyFile(op *object, r *described) {
	d := r.Method.Descriptor.ParentFile()
	for _, f := range w.perFile[d] {
		if security := f.get("security"); security != nil && !r.policySecures() {
			w.openSecurity(op, d, f.of, security)
		} else if security != nil {
			w.unused(d, f.of, "security", "the policy auth of methods says who may call")
		}
		if responses := f.get("responses"); responses != nil {
			w.mergeResponses(op, r, f.of, w.withReferences(responses, d, f.of, false))
		}
	}
}

// contentTypes are those that options list for the bytes of a method, none for any.
func (w *writer) contentTypes(r *described, name string) list {
	of := slices.Concat(w.perFile[r.Method.Descriptor.ParentFile()], w.fragments(r.Method.Descriptor))
	for _, f := range slices.Backward(of) {
		if types, ok := f.get(name).(list); ok && len(types) > 0 && !onlyJSON(types) {
			return types
		}
	}
	return nil
}

// rawContent is the content of a file: of the types that options list, else of any (Surface
// 223).
func (w *writer) rawContent(r *described, name string) *object {
	content := &object{}
	for _, v := range w.contentTypes(r, name) {
		kind, _ := v.(string)
		switch kind {
		case "":
		case "multipart/form-data":
			content.put(kind, obj("schema", obj("type", "object", "additionalProperties", &object{})))
		default:
			content.put(kind, obj("schema", &object{}))
		}
	}
	if len(content.keys) == 0 {
		content.put("*/*", obj("schema", &object{}))
	}
	return content
}

// applyTag lays what the options of a service, and the tags of files, say over its tag.
func (w *writer) applyTag(tag *object, service protoreflect.Descriptor) {
	tags, _ := w.said.get("tags").(list)
	for _, v := range tags {
		if o, ok := v.(*object); ok && o.get("name") == tag.get("name") {
			merge(tag, o)
		}
	}
	for _, f := range w.fragments(service) {
		f.object = f.clone()
		f.remove("name") // it is read when operations get their tags
		merge(tag, f.object)
	}
}

// saidTags are the tags of files that operations have.
func (w *writer) saidTags() (all []*object) {
	tags, _ := w.said.get("tags").(list)
	for _, v := range tags {
		if o, ok := v.(*object); ok && w.tagged[o.get("name")] {
			all = append(all, o)
		}
	}
	return all
}

// merge puts the members of an object into another.
func merge(into, o *object) {
	for i, name := range o.keys {
		into.put(name, o.values[i])
	}
}
