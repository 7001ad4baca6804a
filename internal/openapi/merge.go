package openapi

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// applyOperation lays what the options of a method say over its operation (Surface 219).
func (w *writer) applyOperation(op *object, r *described) {
	for _, f := range w.fragments(r.Method.Descriptor) {
		for i, name := range f.keys {
			w.operationMember(op, r, f, name, f.values[i])
		}
	}
}

// operationMember lays one member over an operation.
func (w *writer) operationMember(op *object, r *described, f fragment, name string, value any) {
	d := r.Method.Descriptor
	value = w.withReferences(value, d, f.of, false)
	switch name {
	case "operationId": // it is read when operations get their names
	case "security":
		if !r.policySecures() {
			w.openSecurity(op, d, f.of, value)
			return
		}
		w.unused(d, f.of, name, "the policy auth of the method says who may call")
	case "parameters":
		w.mergeParameters(op, d, f.of, value)
	case "requestBody":
		w.mergeBody(op, r, f.of, value)
	case "responses":
		w.mergeResponses(op, r, f.of, value)
	case "consumes", "produces":
		if raw := name == "consumes" && r.RawBody || name == "produces" && r.RawAnswer; !raw && !onlyJSON(value) {
			w.unused(d, f.of, name, "the gateway speaks JSON here, and what streams have")
		}
	case "schemes":
		w.unused(d, f.of, name, "OpenAPI 3 has servers in place of it: set openapi.servers")
	case "tags":
		op.put(name, value)
		names, _ := value.(list)
		for _, name := range names {
			w.tagged[name] = true
		}
	case "deprecated":
		if value == true {
			op.put(name, true)
		}
	case "$ref":
		w.unused(d, f.of, name, "an operation refers to no other")
	default:
		op.put(name, value)
	}
}

// onlyJSON reports whether a list of content types has nothing but JSON.
func onlyJSON(value any) bool {
	l, ok := value.(list)
	return ok && !slices.ContainsFunc(l, func(v any) bool { return v != "application/json" })
}

// policySecures reports whether policies say who may call.
func (r *described) policySecures() bool { return r.Policy.GetAuth().GetMechanism() != nil }

// openSecurity takes requirements for a method that the gateway lets anybody call, as far as
// their schemes are declared.
func (w *writer) openSecurity(op *object, d protoreflect.Descriptor, of *dialect, value any) {
	ways, _ := value.(list)
	var kept list
	for _, way := range ways {
		schemes, ok := way.(*object)
		if !ok {
			continue
		}
		known := true
		for _, name := range schemes.keys {
			if w.schemes[name] == nil && w.declared[name] == nil {
				known = false
				w.unused(d, of, "security."+name, "no option of a file declares the scheme")
			}
		}
		if !known {
			continue
		}
		for _, name := range schemes.keys {
			if w.schemes[name] == nil {
				w.schemes[name] = w.declared[name]
			}
		}
		kept = append(kept, schemes)
	}
	if len(kept) > 0 {
		op.put("security", kept)
	}
}

// mergeParameters adds headers and cookies, and says more of the parameters that there are.
func (w *writer) mergeParameters(op *object, d protoreflect.Descriptor, of *dialect, value any) {
	given, _ := value.(list)
	have, _ := op.get("parameters").(list)
	all := slices.Clone(have)
	for _, g := range given {
		p, ok := g.(*object)
		if !ok {
			continue
		}
		at := slices.IndexFunc(all, func(v any) bool {
			o, ok := v.(*object)
			return ok && o.get("name") == p.get("name") && o.get("in") == p.get("in")
		})
		switch in, _ := p.get("in").(string); {
		case p.has("$ref"), p.get("name") == nil:
			w.unused(d, of, "parameters", "one of them refers to another, or has no name")
		case at >= 0:
			if old, ok := all[at].(*object); ok {
				all[at] = overlaid(old, p)
			}
		case in == "header" || in == "cookie":
			if !p.has("schema") && !p.has("content") {
				p.put("schema", obj("type", "string"))
			}
			all = append(all, p)
		default:
			name, _ := p.get("name").(string)
			w.unused(d, of, "parameters."+name, "the method has no such parameter in its "+in)
		}
	}
	op.set("parameters", all)
}

// overlaid is an object with the members of another over its own.
func overlaid(o, over *object) *object {
	o = o.clone()
	for i, name := range over.keys {
		inner, ok := over.values[i].(*object)
		if below, nested := o.get(name).(*object); ok && nested && name != "example" {
			o.put(name, overlaid(below, inner))
			continue
		}
		o.put(name, over.values[i])
	}
	return o
}

// mergeBody says more of the body. The content of messages is the gateway's.
func (w *writer) mergeBody(op *object, r *described, of *dialect, value any) {
	given, _ := value.(*object)
	body, _ := op.get("requestBody").(*object)
	if given == nil || given.has("$ref") || body == nil {
		w.unused(r.Method.Descriptor, of, "requestBody", "the method has no body, or the option refers to one")
		return
	}
	for i, name := range given.keys {
		if name == "description" || name == "required" && given.values[i] == true || strings.HasPrefix(name, "x-") {
			body.put(name, given.values[i])
		}
	}
	if content, ok := given.get("content").(*object); ok {
		w.mergeContent(body, content, r, of, "requestBody.content", r.RawBody)
	}
}

// mergeContent lays content over that of a body or an answer. That of a file is what the option
// says; of messages, examples alone are taken.
func (w *writer) mergeContent(into, content *object, r *described, of *dialect, path string, raw bool) {
	if raw {
		into.put("content", content)
		return
	}
	have := into.at("content")
	for i, kind := range content.keys {
		given, ok := content.values[i].(*object)
		old, known := have.get(kind).(*object)
		if !ok || !known {
			w.unused(r.Method.Descriptor, of, path+"."+kind, "the gateway does not speak it here")
			continue
		}
		for j, name := range given.keys {
			switch name {
			case "example", "examples":
				old.put(name, given.values[j])
			default:
				if name == "schema" && same(given.values[j], old.get(name)) {
					continue
				}
				if !strings.HasPrefix(name, "x-") {
					w.unused(r.Method.Descriptor, of, path+"."+kind+"."+name, "the schema is that of the message")
					continue
				}
				old.put(name, given.values[j])
			}
		}
	}
}

// mergeResponses says more of answers, or adds them. Another success than 200 stands in its
// place (Surface 220).
func (w *writer) mergeResponses(op *object, r *described, of *dialect, value any) {
	given, _ := value.(*object)
	if given == nil {
		return
	}
	responses := op.at("responses").clone()
	op.put("responses", responses)
	for i, status := range given.keys {
		answer, ok := given.values[i].(*object)
		if !ok || !validStatus(status) {
			w.unused(r.Method.Descriptor, of, "responses."+status, "expected a status, such as 404, 4XX or default")
			continue
		}
		answer = answer.clone()
		old, _ := responses.get(status).(*object)
		if strings.HasPrefix(status, "2") && old == nil {
			if old, _ = responses.get("200").(*object); old != nil && !given.has("200") {
				responses.rename("200", status)
				if !r.Policy.GetResponseMetadata().GetHttpStatus() {
					w.remark(r.Method.Descriptor, "the OpenAPI document says "+status+" as an option does, and the gateway answers 200: with response_metadata.http_status the service says which status")
				}
			}
		}
		content, hasContent := answer.get("content").(*object)
		switch {
		case old == nil || old.has("$ref") && hasContent:
			if !answer.has("description") {
				answer.put("description", "")
			}
			responses.put(status, answer)
		case old.has("$ref"):
			responses.put(status, overlaid(w.resolved(old), answer))
		case strings.HasPrefix(status, "2"):
			answer.remove("content")
			merged := overlaid(old, answer)
			if hasContent {
				merged.put("content", merged.at("content").clone())
				w.mergeContent(merged, content, r, of, "responses."+status+".content", r.RawAnswer)
			}
			responses.put(status, merged)
		default:
			responses.put(status, overlaid(old, answer))
		}
	}
}

// resolved is the answer that a reference of this package's own leads to.
func (w *writer) resolved(reference *object) *object {
	target, _ := reference.get("$ref").(string)
	name := strings.TrimPrefix(target, "#/components/responses/")
	if o := w.refused[name]; o != nil {
		return o
	}
	if o := w.errors[name]; o != nil {
		return o
	}
	return &object{}
}

// validStatus reports whether OpenAPI takes the key of an answer.
func validStatus(s string) bool {
	if s == "default" {
		return true
	}
	return len(s) == 3 && s[0] >= '1' && s[0] <= '5' && (s[1:] == "XX" || s[1] >= '0' && s[1] <= '9' && s[2] >= '0' && s[2] <= '9')
}

// applySchema lays what the options of a message or a field say over its schema, and reports
// whether they make it required.
func (w *writer) applySchema(o *object, d protoreflect.Descriptor) (required bool) {
	for _, f := range w.fragments(d) {
		for i, name := range f.keys {
			if elementKeywords[name] && o.get("type") == "array" {
				applyToElements(o, name, f.values[i])
				continue
			}
			switch name {
			case "required":
				required = required || w.schemaRequired(o, d, f, f.values[i])
			case "enum":
				if values, ok := f.values[i].(list); ok && o.get("type") == "string" && !o.has("format") && !o.has("enum") {
					o.put(name, values)
				} else {
					w.unused(d, f.of, name, "the values are those of the field's type")
				}
			case "fieldConfiguration":
				// path_param_name is read where paths are written.
				if inner, ok := f.values[i].(*object); ok && inner.get("deprecated") == true {
					o.put("deprecated", true)
				}
			case "$ref":
				w.unused(d, f.of, "ref", "the schema is that of the message; what it refers to is not in the document")
			case "deprecated", "readOnly", "writeOnly":
				if f.values[i] == true {
					o.put(name, true)
				}
			case "type", "format":
				if !o.has("$ref") {
					o.put(name, f.values[i])
				}
			case "default", "examples":
				o.put(name, valueAsText(o, f.values[i]))
			case "allOf", "anyOf", "oneOf", "not", "items", "properties", "additionalProperties":
				w.unused(d, f.of, name, "the gateway answers with the JSON of the message")
			default:
				o.put(name, f.values[i])
			}
		}
	}
	return required
}

// valueAsText is a value of an option that reads as JSON, as the text that it is where a schema is of a string: of a string the default
// 1e3 is no number. Numbers of 64 bits are strings in the JSON of a message, too.
func valueAsText(o *object, value any) any {
	if o.get("type") != "string" {
		return value
	}
	switch v := value.(type) {
	case number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case list: // of examples
		texts := list{}
		for _, one := range v {
			texts = append(texts, valueAsText(o, one))
		}
		return texts
	}
	return value
}

// elementKeywords are of the elements where a field is repeated.
var elementKeywords = map[string]bool{
	"pattern": true, "format": true, "minLength": true, "maxLength": true, "minimum": true, "maximum": true, "exclusiveMinimum": true, "exclusiveMaximum": true, "multipleOf": true,
}

// applyToElements has a keyword hold for each element of a list.
func applyToElements(o *object, name string, value any) {
	items, _ := o.get("items").(*object)
	if items == nil || items.has("$ref") {
		return
	}
	items = items.clone()
	items.put(name, value)
	o.put("items", items)
}

// schemaRequired adds what an option of a message requires; of a field it says that the field
// is there.
func (w *writer) schemaRequired(o *object, d protoreflect.Descriptor, f fragment, value any) bool {
	names, _ := value.(list)
	m, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return len(names) > 0
	}
	required, _ := o.get("required").(list)
	properties, _ := o.get("properties").(*object)
	for _, v := range names {
		name, _ := v.(string)
		if field := m.Fields().ByName(protoreflect.Name(name)); field != nil && (properties == nil || !properties.has(name)) {
			name = field.JSONName()
		}
		if properties == nil || !properties.has(name) {
			w.unused(d, f.of, "required."+name, "the schema has no such member")
			continue
		}
		if !slices.Contains(required, any(name)) {
			required = append(slices.Clone(required), name)
		}
	}
	o.set("required", required)
	return false
}
