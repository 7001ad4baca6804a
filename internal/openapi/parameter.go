package openapi

import (
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
)

// maxParameters bounds the query parameters of one operation: a message may have more
// fields below it than anybody reads.
const maxParameters = 200

// maxQuerySteps bounds the fields that are looked at for them: messages may have ways without
// number to each other.
const maxQuerySteps = 20000

// parameters are those of an operation: of the path, then of the query.
func (w *writer) parameters(r *described, path []*object) list {
	var all list
	for _, p := range path {
		all = append(all, p)
	}
	if !r.Query {
		return all
	}
	// The whole depth where that is few enough, else less.
	for depth := 100; depth > 0; depth = min(depth-1, 3) {
		q := &queryMaker{writer: w, route: r, depth: depth, bound: r.bound(), names: map[string]bool{}}
		q.message(r.Method.Descriptor.Input(), nil)
		if q.steps <= maxQuerySteps && len(q.found) <= maxParameters || depth == 1 {
			return append(all, q.found[:min(len(q.found), maxParameters)]...)
		}
	}
	return all
}

// bound are the fields that the path and the body set, as paths of proto names.
func (r *described) bound() []string {
	var paths []string
	for _, v := range r.Variables {
		paths = append(paths, v.Path())
	}
	if r.BodyField != nil {
		paths = append(paths, r.BodyField.Path())
	}
	return paths
}

// queryMaker finds the parameters of a query.
type queryMaker struct {
	writer *writer
	route  *described
	depth  int
	bound  []string
	steps  int
	names  map[string]bool
	found  list
}

// message adds the fields of a message, which above leads to.
func (q *queryMaker) message(m protoreflect.MessageDescriptor, above []protoreflect.FieldDescriptor) {
	fields := m.Fields()
	for i := range fields.Len() {
		if q.steps++; q.steps > maxQuerySteps || len(q.found) > maxParameters {
			return
		}
		field := fields.Get(i)
		path := slices.Concat(above, []protoreflect.FieldDescriptor{field})
		name := protoPath(path)
		if q.taken(name) || isOutputOnly(field) || !q.writer.shown(field) {
			continue
		}
		q.field(field, path)
	}
}

// taken reports whether the path or the body sets a field.
func (q *queryMaker) taken(path string) bool {
	for _, b := range q.bound {
		if b == path || strings.HasPrefix(path, b+".") {
			return true
		}
	}
	return q.route.Method.Settings.IgnoredQuery[path]
}

// field adds a field, or those below it.
func (q *queryMaker) field(field protoreflect.FieldDescriptor, path []protoreflect.FieldDescriptor) {
	name := q.writer.schemas.namePath(path, q.route.form)
	switch {
	case field.IsMap():
		if isText(field.MapValue()) {
			q.parameter(name, path, "style", "deepObject", "explode", true)
		}
	case isText(field):
		q.parameter(name, path)
	case field.IsList() || isSpecial(field.Message()):
		// One JSON value, which nobody writes into a query by hand.
	case len(path) < q.depth && !recursive(path):
		q.message(field.Message(), path)
	}
}

// require says of a parameter that it must be there. One below a message is not required for itself: the message
// need not be there.
func (q *queryMaker) require(p *object, path []protoreflect.FieldDescriptor) {
	if len(path) == 1 {
		p.put("required", true)
		return
	}
	text, _ := p.get("description").(string)
	above := q.writer.schemas.namePath(path[:len(path)-1], q.route.form)
	p.put("description", strings.TrimSpace(text+"\n\nRequired with any other parameter of `"+above+"`."))
}

// parameter adds the parameter of a field.
func (q *queryMaker) parameter(name string, path []protoreflect.FieldDescriptor, how ...any) {
	field := path[len(path)-1]
	if q.names[name] {
		return // a name in JSON may be that of a path
	}
	q.names[name] = true
	p := obj("name", name, "in", "query", "description", commentOf(field).whole())
	schema, demanded := q.writer.schemas.ruled(field, q.writer.schemas.fieldValue(field, q.route.form), q.route.form)
	schema = declared(schema, field, q.route.form)
	demanded = q.writer.applyParameter(p, schema, field) || q.writer.listsRequired(field) || demanded
	if demanded || isRequired(field) {
		q.require(p, path)
	}
	if deprecated(field) {
		p.put("deprecated", true)
	}
	for i := 0; i+1 < len(how); i += 2 {
		keyword, _ := how[i].(string)
		p.put(keyword, how[i+1])
	}
	p.put("schema", asText(schema))
	q.found = append(q.found, p)
}

// ruleParameters tells of the rules of the request as a whole where its fields are parameters: no schema says them.
func (w *writer) ruleParameters(op *object, r *described) {
	input := r.Method.Descriptor.Input()
	if r.WholeBody || isSpecial(input) || !r.Query && len(r.Variables) == 0 {
		return
	}
	op.set("x-oneof", w.schemas.oneofs(input, r.form))
	if !r.form.rules {
		return
	}
	whole := &object{}
	c := &constraints{schema: whole, form: r.form}
	w.schemas.messageRules(c, input, r.form)
	for i := range input.Oneofs().Len() {
		oneof := input.Oneofs().Get(i)
		rules, _ := schema.Option(oneof, validate.E_Oneof).(*validate.OneofRules)
		if names := w.schemas.memberNames(oneof, r.form); rules.GetRequired() && names != "" {
			c.remarkf("one of %s is set", names)
		}
	}
	c.describe()
	op.set("x-cel", whole.get("x-cel"))
	if rules, _ := whole.get("description").(string); rules != "" {
		text, _ := op.get("description").(string)
		op.put("description", strings.TrimSpace(text+"\n\n"+rules))
	}
}

// memberNames are those of a oneof that the document shows.
func (s *schemas) memberNames(oneof protoreflect.OneofDescriptor, f form) string {
	var names []string
	for i := range oneof.Fields().Len() {
		if member := oneof.Fields().Get(i); s.writer.shown(member) {
			names = append(names, "`"+fieldName(member, f)+"`")
		}
	}
	return strings.Join(names, ", ")
}

// asText is the schema of a value that stands in a path or a query, where there is no null but the name
// of the NullValue.
func asText(schema *object) *object {
	items, nested := schema.get("items").(*object)
	values, mapped := schema.get("additionalProperties").(*object)
	kinds, several := schema.get("type").(list)
	enum, _ := schema.get("enum").(list)
	schema = schema.clone()
	switch {
	case nested:
		schema.put("items", asText(items))
	case mapped:
		schema.put("additionalProperties", asText(values))
	case schema.get("type") == "null":
		schema.put("type", "string")
		schema.put("enum", list{"NULL_VALUE"})
	case several && slices.Contains(kinds, any("null")):
		schema.put("type", typeOf(schema))
		schema.set("enum", slices.DeleteFunc(slices.Clone(enum), func(v any) bool { return v == nil }))
	}
	return schema
}

// applyParameter lays the options of a field over its parameter and the schema of it.
func (w *writer) applyParameter(p, schema *object, field protoreflect.FieldDescriptor) (required bool) {
	required = w.applySchema(schema, field)
	if text, ok := schema.get("description").(string); ok && len(w.fragments(field)) > 0 {
		p.put("description", text)
		schema.remove("description")
	}
	if schema.get("deprecated") == true {
		schema.remove("deprecated")
		p.put("deprecated", true)
	}
	return required
}

// listsRequired reports whether options of a message list a field among those that are required.
func (w *writer) listsRequired(field protoreflect.FieldDescriptor) bool {
	for _, f := range w.fragments(field.ContainingMessage()) {
		names, _ := f.get("required").(list)
		for _, name := range names {
			if name == string(field.Name()) || name == field.JSONName() {
				return true
			}
		}
	}
	return false
}

// recursive reports whether the message at the end of a path is one on the way to it.
func recursive(path []protoreflect.FieldDescriptor) bool {
	message := path[len(path)-1].Message()
	for _, above := range path {
		if above.ContainingMessage().FullName() == message.FullName() {
			return true
		}
	}
	return false
}

// protoPath is a path in proto names.
func protoPath(path []protoreflect.FieldDescriptor) string {
	names := make([]string, len(path))
	for i, f := range path {
		names[i] = string(f.Name())
	}
	return strings.Join(names, ".")
}

// isText reports whether a value of the field, or of one element, is written as plain text
// in a query.
func isText(f protoreflect.FieldDescriptor) bool {
	if f.Message() == nil {
		return true
	}
	switch f.Message().FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask":
		return true
	}
	return isWrapper(f.Message())
}

// has reports whether a field has a behaviour by its option google.api.field_behavior.
func has(f protoreflect.FieldDescriptor, behaviour annotations.FieldBehavior) bool {
	for _, b := range schema.FieldBehavior(f) {
		if b == behaviour {
			return true
		}
	}
	return false
}

func isOutputOnly(f protoreflect.FieldDescriptor) bool {
	return has(f, annotations.FieldBehavior_OUTPUT_ONLY)
}

// isRequired reports whether a field is required by its option, or is one of proto2 that must be there.
func isRequired(f protoreflect.FieldDescriptor) bool {
	return f.Cardinality() == protoreflect.Required || has(f, annotations.FieldBehavior_REQUIRED)
}
