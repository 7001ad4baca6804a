package openapi

import (
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// form is what of the JSON of a message depends on the route (Surface 213).
type form struct {
	protoNames, enumNumbers, int64Numbers, nulls bool
	// rules: the rules of the fields hold.
	rules bool
}

func formOf(o jsonwire.Output, unchecked bool) form {
	return form{protoNames: o.ProtoNames, enumNumbers: o.EnumNumbers, int64Numbers: o.Int64Numbers, nulls: o.UnsetAsNull, rules: !unchecked}
}

// suffix tells the form from that of the API in names of components. A hyphen is in no name
// of protobuf.
func (f form) suffix(base form) string {
	if f == base {
		return ""
	}
	var words []string
	for _, word := range []struct {
		is   bool
		name string
	}{{f.protoNames, "proto_names"}, {f.enumNumbers, "enums_as_numbers"}, {f.int64Numbers, "int64_as_numbers"}, {f.nulls, "nulls"}, {!f.rules, "unchecked"}} {
		if word.is {
			words = append(words, word.name)
		}
	}
	if len(words) == 0 {
		words = []string{"plain"}
	}
	return "-" + strings.Join(words, ".")
}

// schemas makes the schemas of messages and enums, each a component.
type schemas struct {
	writer *writer
	base   form
	named  map[string]*component
	queue  []*component
}

// component is a schema with a name.
type component struct {
	name   string
	of     protoreflect.Descriptor
	form   form
	schema *object
}

func newSchemas(base form) *schemas {
	return &schemas{base: base, named: map[string]*component{}}
}

// reference refers to the component of a message or an enum.
func (s *schemas) reference(d protoreflect.Descriptor, f form) *object {
	if d.FullName() == "google.rpc.Status" {
		f = s.base // it looks the same in all forms
	}
	name := string(d.FullName()) + f.suffix(s.base)
	for c := s.named[name]; c != nil && c.of != d && !schema.Same(c.of.ParentFile(), d.ParentFile()); c = s.named[name] {
		name += "-" // another source has another type of the name
	}
	if s.named[name] == nil {
		c := &component{name: name, of: d, form: f}
		s.named[name] = c
		s.queue = append(s.queue, c)
	}
	return obj("$ref", "#/components/schemas/"+name)
}

// components makes all that is referred to, in the order of names.
func (s *schemas) components() *object {
	for len(s.queue) > 0 {
		c := s.queue[0]
		s.queue = s.queue[1:]
		s.made(c)
	}
	names := make([]string, 0, len(s.named))
	for name := range s.named {
		names = append(names, name)
	}
	slices.Sort(names)
	o := &object{}
	for _, name := range names {
		o.add(name, s.named[name].schema)
	}
	if len(names) == 0 {
		return nil
	}
	return o
}

// made is the schema of a component, which is made when it is first asked for.
func (s *schemas) made(c *component) *object {
	if c.schema == nil {
		switch d := c.of.(type) {
		case protoreflect.MessageDescriptor:
			c.schema = s.object(d, c.form, nil)
		case protoreflect.EnumDescriptor:
			c.schema = s.enum(d, c.form)
		}
	}
	return c.schema
}

// status is the schema of an error.
func (s *schemas) status() *object {
	return s.reference((*spb.Status)(nil).ProtoReflect().Descriptor(), s.base)
}

// message is the schema of a message: one of JSON's own form, or a reference.
func (s *schemas) message(m protoreflect.MessageDescriptor, f form) *object {
	if special := s.special(m, f); special != nil {
		return special
	}
	return s.reference(m, f)
}

// object is the schema of a message's fields, without those that are left out: paths of
// proto names.
func (s *schemas) object(m protoreflect.MessageDescriptor, f form, without []string) *object {
	comment := commentOf(m)
	o := obj("type", "object", "description", comment.whole())
	o.of = &madeOf{m, f, without}
	if deprecated(m) {
		o.set("deprecated", true)
	}
	properties, names := &object{}, map[string]bool{}
	var required list
	fields := m.Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if slices.Contains(without, string(field.Name())) || !s.writer.shown(field) {
			continue
		}
		name := fieldName(field, f)
		if names[name] {
			continue // descriptors may have two fields of one name in JSON
		}
		names[name] = true
		property, demanded := s.property(field, f, below(without, string(field.Name())))
		properties.add(name, property)
		if demanded || isRequired(field) {
			required = append(required, name)
		}
	}
	if len(properties.keys) > 0 {
		o.put("properties", properties)
	}
	o.set("required", required)
	s.settle(o, m, f, without)
	return o
}

// settle lays what is said of a message as a whole over its schema.
func (s *schemas) settle(o *object, m protoreflect.MessageDescriptor, f form, without []string) {
	o.set("x-oneof", s.oneofs(m, f))
	if f.rules {
		s.demandOneofs(o, m, f, without)
		s.ruleMessage(o, m, f)
	}
	if s.writer.api.ExactOneofs {
		s.exactOneofs(o, m, f, without)
	}
	s.writer.applySchema(o, m)
}

// demandOneofs has an object have a member of each oneof that rules demand, unless the path
// may set it.
func (s *schemas) demandOneofs(o *object, m protoreflect.MessageDescriptor, f form, without []string) {
	c := &constraints{schema: o, form: f}
	for i := range m.Oneofs().Len() {
		oneof := m.Oneofs().Get(i)
		rules, _ := schema.Option(oneof, validate.E_Oneof).(*validate.OneofRules)
		if !rules.GetRequired() {
			continue
		}
		var ways list
		for j := range oneof.Fields().Len() {
			member := oneof.Fields().Get(j)
			if slices.Contains(without, string(member.Name())) || !s.writer.shown(member) {
				ways = nil
				break
			}
			ways = append(ways, obj("required", list{fieldName(member, f)}))
		}
		if len(ways) > 0 {
			c.also(obj("anyOf", ways))
		}
	}
}

// ruleMessage tells of the rules of a message as a whole.
func (s *schemas) ruleMessage(o *object, m protoreflect.MessageDescriptor, f form) {
	c := &constraints{schema: o, form: f}
	s.messageRules(c, m, f)
	c.describe()
}

func (s *schemas) messageRules(c *constraints, m protoreflect.MessageDescriptor, f form) {
	rules, _ := schema.Option(m, validate.E_Message).(*validate.MessageRules)
	if rules == nil {
		return
	}
	c.expressions(s.open(m, rules))
	for _, oneof := range rules.GetOneof() {
		var names []string
		for _, name := range oneof.GetFields() {
			if field := m.Fields().ByName(protoreflect.Name(name)); field != nil && s.writer.shown(field) {
				names = append(names, "`"+fieldName(field, f)+"`")
			}
		}
		words := "at most one of %s is set"
		if oneof.GetRequired() {
			words = "one of %s is set"
		}
		c.remarkf(words, strings.Join(names, ", "))
	}
}

// exactOneofs has an object refuse two members of a oneof at once (Surface 215).
func (s *schemas) exactOneofs(o *object, m protoreflect.MessageDescriptor, f form, without []string) {
	c := &constraints{schema: o, form: f}
	for i := range m.Oneofs().Len() {
		oneof := m.Oneofs().Get(i)
		if oneof.IsSynthetic() {
			continue
		}
		var ways list
		for j := range oneof.Fields().Len() {
			if member := oneof.Fields().Get(j); !slices.Contains(without, string(member.Name())) && s.writer.shown(member) {
				ways = append(ways, obj("required", list{fieldName(member, f)}))
			}
		}
		if len(ways) > 1 {
			c.also(obj("oneOf", append(slices.Clone(ways), obj("not", obj("anyOf", ways)))))
		}
	}
}

// below are the paths that go on below a field.
func below(paths []string, field string) []string {
	var rest []string
	for _, p := range paths {
		if after, ok := strings.CutPrefix(p, field+"."); ok {
			rest = append(rest, after)
		}
	}
	return rest
}

// oneofs names the members of each oneof: at most one of them is set (Surface 215).
func (s *schemas) oneofs(m protoreflect.MessageDescriptor, f form) *object {
	var o *object
	for i := range m.Oneofs().Len() {
		oneof := m.Oneofs().Get(i)
		if oneof.IsSynthetic() {
			continue
		}
		var names list
		for j := range oneof.Fields().Len() {
			if member := oneof.Fields().Get(j); s.writer.shown(member) {
				names = append(names, fieldName(member, f))
			}
		}
		if len(names) == 0 {
			continue
		}
		if o == nil {
			o = &object{}
		}
		o.put(string(oneof.Name()), names)
	}
	return o
}

// property is a field of an object with what is said of it (Surface 211, 216, 218).
func (s *schemas) property(field protoreflect.FieldDescriptor, f form, without []string) (value *object, required bool) {
	if len(without) > 0 && field.Message() != nil && !field.IsList() && !field.IsMap() {
		value = s.object(field.Message(), f, without)
		required = s.demands(value) // the path has it be there
	} else {
		value, required = s.ruled(field, s.fieldValue(field, f), f)
	}
	value = declared(value, field, f)
	if f.nulls && nullable(field) {
		value = orNull(value)
	}
	if text := commentOf(field).whole(); text != "" {
		if rules, ok := value.get("description").(string); ok && strings.HasPrefix(rules, "Rules: ") {
			text += "\n\n" + rules
		}
		value.put("description", text)
	}
	if deprecated(field) {
		value.set("deprecated", true)
	}
	switch {
	case has(field, annotations.FieldBehavior_OUTPUT_ONLY), s.writer.api.GRPCGateway && strings.Contains(commentOf(field).whole(), "Output only."):
		value.put("readOnly", true)
	case has(field, annotations.FieldBehavior_INPUT_ONLY):
		value.put("writeOnly", true)
	}
	if has(field, annotations.FieldBehavior_IMMUTABLE) {
		value.put("x-immutable", true)
	}
	if has(field, annotations.FieldBehavior_IDENTIFIER) {
		value.put("x-identifier", true)
	}
	return value, s.writer.applySchema(value, field) || required
}

// nullable reports whether a form with nulls writes one for a field that is not set.
func nullable(field protoreflect.FieldDescriptor) bool {
	return field.HasPresence() && field.ContainingOneof() == nil
}

// orNull is a schema that takes null, too.
func orNull(value *object) *object {
	switch kind := value.get("type").(type) {
	case string:
		value = value.clone()
		value.put("type", list{kind, "null"})
		if value.has("const") {
			value.put("enum", list{value.get("const"), nil})
			value.remove("const")
			return value
		}
		if names, ok := value.get("enum").(list); ok {
			value.put("enum", append(slices.Clone(names), nil))
		}
		return value
	case list:
		return value // it does already
	}
	if len(value.keys) == 0 {
		return value
	}
	return obj("anyOf", list{value, obj("type", "null")})
}

// fieldValue is the schema of what a field holds.
func (s *schemas) fieldValue(field protoreflect.FieldDescriptor, f form) *object {
	switch {
	case field.IsMap():
		return obj("type", "object", "additionalProperties", s.single(field.MapValue(), f), "propertyNames", keySchema(field.MapKey().Kind()))
	case field.IsList():
		return obj("type", "array", "items", s.single(field, f))
	}
	return s.single(field, f)
}

// keySchema is the schema of a map's keys, which JSON has as strings; nil where they are any.
func keySchema(kind protoreflect.Kind) *object {
	switch kind {
	case protoreflect.StringKind:
		return nil
	case protoreflect.BoolKind:
		return obj("enum", list{"false", "true"})
	}
	pattern := "^-?[0-9]+$"
	if scalarSchema(kind, form{}).has("minimum") || kind == protoreflect.Uint64Kind || kind == protoreflect.Fixed64Kind {
		pattern = "^[0-9]+$"
	}
	return obj("type", "string", "pattern", pattern)
}

// single is the schema of one value.
func (s *schemas) single(field protoreflect.FieldDescriptor, f form) *object {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return s.message(field.Message(), f)
	case protoreflect.EnumKind:
		if field.Enum().FullName() == "google.protobuf.NullValue" {
			return obj("type", "null")
		}
		return s.reference(field.Enum(), f)
	}
	return scalarSchema(field.Kind(), f)
}

// scalarSchema is the schema of a scalar.
func scalarSchema(kind protoreflect.Kind, f form) *object {
	switch kind {
	case protoreflect.BoolKind:
		return obj("type", "boolean")
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return obj("type", "integer", "format", "int32")
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return obj("type", "integer", "format", "uint32", "minimum", 0)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		if f.int64Numbers {
			return obj("type", "integer", "format", "int64")
		}
		return obj("type", "string", "format", "int64", "pattern", "^-?[0-9]+$")
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		if f.int64Numbers {
			return obj("type", "integer", "format", "uint64", "minimum", 0)
		}
		return obj("type", "string", "format", "uint64", "pattern", "^[0-9]+$")
	case protoreflect.FloatKind:
		return obj("type", "number", "format", "float")
	case protoreflect.DoubleKind:
		return obj("type", "number", "format", "double")
	case protoreflect.BytesKind:
		return obj("type", "string", "contentEncoding", "base64")
	}
	return obj("type", "string")
}

// enum is the schema of an enum: its names, or its numbers.
func (s *schemas) enum(e protoreflect.EnumDescriptor, f form) *object {
	o := obj("type", "string")
	var values, names, about list
	described := false
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		if e.Values().ByNumber(v.Number()) != v || !s.writer.shown(v) {
			continue // the first of several names is the one that is written
		}
		values = append(values, int64(v.Number()))
		names = append(names, jsonwire.EnumName(v))
		text := commentOf(v).whole()
		if deprecated(v) {
			text = strings.TrimSpace("Deprecated. " + text)
		}
		described = described || text != ""
		about = append(about, text)
	}
	o.set("description", commentOf(e).whole())
	if f.enumNumbers {
		o.put("type", "integer")
		o.put("enum", values)
		o.put("x-enum-varnames", names)
	} else {
		o.put("enum", names)
	}
	if described {
		o.put("x-enum-descriptions", about)
	}
	if deprecated(e) {
		o.set("deprecated", true)
	}
	s.writer.applySchema(o, e)
	return o
}

// fieldName is the field's name in JSON.
func fieldName(field protoreflect.FieldDescriptor, f form) string {
	if f.protoNames {
		return field.TextName()
	}
	return field.JSONName()
}

// namePath is a path as parameters name it.
func (s *schemas) namePath(path []protoreflect.FieldDescriptor, f form) string {
	names := make([]string, len(path))
	for i, field := range path {
		names[i] = fieldName(field, f)
	}
	return strings.Join(names, ".")
}

// fieldPath is a path of proto names as parameters name it.
func (s *schemas) fieldPath(path string, r *described) string {
	var found []protoreflect.FieldDescriptor
	message := r.Method.Descriptor.Input()
	for name := range strings.SplitSeq(path, ".") {
		field := message.Fields().ByName(protoreflect.Name(name))
		found = append(found, field)
		message = field.Message()
	}
	return s.namePath(found, r.form)
}
