package openapi

import (
	"strings"
)

// requestBody is what a client sends beside path and query; nil for nothing (Surface 212).
func (w *writer) requestBody(r *described) *object {
	if !r.WholeBody && r.BodyField == nil {
		return nil
	}
	body := &object{}
	schema := w.bodySchema(r)
	switch {
	case r.RawBody:
		body.put("content", w.rawContent(r, "consumes"))
	case r.Method.Shape.ClientStreams:
		body.put("content", w.uploadContent(schema))
	default:
		body.put("content", obj("application/json", obj("schema", schema)))
	}
	if w.bodyRequired(r) {
		body.put("required", true)
	}
	return body
}

// bodyRequired reports whether a request without a body is not valid. The gateway takes one for an empty
// message, or a field that is not set (Semantics 19).
func (w *writer) bodyRequired(r *described) bool {
	input := r.Method.Descriptor.Input()
	switch {
	case w.api.GRPCGateway:
		return true // generated clients keep the signatures that protoc-gen-openapiv2 gives them
	case r.Method.Shape.ClientStreams:
		return false // a stream may have no message
	case r.BodyField != nil:
		d := r.BodyField.Descriptor()
		_, demanded := w.schemas.property(d, r.form, r.inPath())
		return demanded || isRequired(d)
	case isSpecial(input):
		return false
	}
	return w.schemas.demands(w.schemas.object(input, r.form, r.inPath()))
}

// demands reports whether an empty object is not one of a schema.
func (s *schemas) demands(schema *object) bool {
	e := &exampler{writer: s.writer, hidden: "readOnly"}
	return !e.valid(schema, &object{}, 0)
}

// bodySchema is the schema of the body, or of one message of it. What the path sets is not
// in it.
func (w *writer) bodySchema(r *described) *object {
	without := r.inPath()
	input := r.Method.Descriptor.Input()
	if r.BodyField != nil {
		d := r.BodyField.Descriptor()
		if d.Message() == nil || d.IsList() || d.IsMap() || len(without) == 0 {
			return w.schemas.fieldValue(d, r.form)
		}
		input = d.Message()
	}
	if len(without) == 0 || isSpecial(input) {
		return w.schemas.message(input, r.form)
	}
	body := w.schemas.object(input, r.form, without)
	if !w.api.GRPCGateway || r.BodyField != nil {
		return body
	}
	names := w.source.schemaNames()
	name := names[string(r.Method.Descriptor.FullName())] + "Body"
	for _, taken := names[name]; taken; _, taken = names[name] {
		name += "_" // a message without a package is called so
	}
	if w.bodies[name] == nil {
		w.bodies[name] = body
	}
	return obj("$ref", schemaPlace+name)
}

// inPath are the fields of the body, by their paths in it, that stand in the path of the request.
func (r *described) inPath() []string {
	prefix := ""
	if r.BodyField != nil {
		prefix = r.BodyField.Path() + "."
	}
	var fields []string
	for _, v := range r.Variables {
		if path, ok := strings.CutPrefix(v.Path(), prefix); ok {
			fields = append(fields, path)
		}
	}
	return fields
}
