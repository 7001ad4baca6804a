package openapi

import (
	"fmt"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
)

// rulesOf are the rules of protovalidate of a field; nil for none.
func rulesOf(f protoreflect.FieldDescriptor) *validate.FieldRules {
	rules, _ := schema.Option(f, validate.E_Field).(*validate.FieldRules)
	if rules.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		return nil
	}
	return rules
}

// ruled is the schema of a field with its rules (Surface 217), and whether they refuse a
// field that is not there.
func (s *schemas) ruled(f protoreflect.FieldDescriptor, value *object, in form) (_ *object, required bool) {
	rules := rulesOf(f)
	if rules == nil || !in.rules {
		return value, false
	}
	c := &constraints{schema: value.clone(), form: in, zero: true}
	c.field(f, rules)
	if !f.HasPresence() && rules.GetRequired() {
		c.nonZero(f)
	}
	c.remark(rules)
	ignored := rules.GetIgnore() == validate.Ignore_IGNORE_IF_ZERO_VALUE
	if ignored && !c.zero && !rules.GetRequired() {
		if zero := zeroSchema(f, in); zero != nil {
			return obj("anyOf", list{zero, c.schema}), false
		}
	}
	if f.HasPresence() {
		return c.schema, rules.GetRequired()
	}
	return c.schema, rules.GetRequired() || !c.zero && !ignored
}

// zeroSchema is the schema of a field's zero alone.
func zeroSchema(f protoreflect.FieldDescriptor, in form) *object {
	switch {
	case f.IsList():
		return obj("type", "array", "maxItems", 0)
	case f.IsMap():
		return obj("type", "object", "maxProperties", 0)
	}
	o := &object{}
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		o.put("const", "")
	case protoreflect.BoolKind:
		o.put("const", false)
	case protoreflect.EnumKind:
		o.put("const", enumJSON(f.Enum(), 0, in))
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return nil
	default:
		if s, _ := scalarSchema(f.Kind(), in).get("type").(string); s == "string" {
			o.put("const", "0")
		} else {
			o.put("const", 0)
		}
	}
	return o
}

// constraints lay rules over a schema.
type constraints struct {
	schema *object
	form   form
	// zero: the rules take the value of a field that is not there.
	zero bool
	// remarks are rules that a schema has no words for.
	remarks []string
}

// field adds the rules of a field, of any cardinality.
func (c *constraints) field(f protoreflect.FieldDescriptor, r *validate.FieldRules) {
	switch t := r.GetType().(type) {
	case *validate.FieldRules_Repeated:
		c.repeated(f, t.Repeated)
	case *validate.FieldRules_Map:
		c.mapping(f, t.Map)
	default:
		if !f.IsList() && !f.IsMap() {
			c.value(f, r)
		}
	}
}

// value adds the rules of one value.
func (c *constraints) value(f protoreflect.FieldDescriptor, r *validate.FieldRules) {
	if f.Message() != nil && isWrapper(f.Message()) {
		c.wrapped(f.Message().Fields().ByName("value"), r)
		return
	}
	switch t := r.GetType().(type) {
	case *validate.FieldRules_String_:
		c.text(t.String_)
		c.fitText(t.String_)
	case *validate.FieldRules_Bytes:
		c.bytes(t.Bytes)
	case *validate.FieldRules_Bool:
		if t.Bool.Const != nil {
			c.schema.put("const", t.Bool.GetConst())
			c.zero = c.zero && !t.Bool.GetConst()
		}
	case *validate.FieldRules_Enum:
		c.enum(f.Enum(), t.Enum)
	case nil:
	default:
		c.number(f, r)
	}
}

// wrapped adds the rules of the value in a wrapper, which do not hold for null.
func (c *constraints) wrapped(f protoreflect.FieldDescriptor, r *validate.FieldRules) {
	inner := &constraints{schema: c.schema.clone(), form: c.form, zero: true}
	inner.schema.put("type", typeOf(c.schema))
	inner.value(f, r)
	c.schema, c.remarks = orNull(inner.schema), append(c.remarks, inner.remarks...)
}

func (c *constraints) repeated(f protoreflect.FieldDescriptor, r *validate.RepeatedRules) {
	if r.GetMinItems() > 0 {
		c.schema.put("minItems", int64(r.GetMinItems())) //nolint:gosec // no list has more than MaxInt64 items
		c.zero = false
	}
	if r.MaxItems != nil {
		c.schema.put("maxItems", int64(min(r.GetMaxItems(), 1<<53))) //nolint:gosec // as above
	}
	if r.GetUnique() {
		c.schema.put("uniqueItems", true)
	}
	c.element("items", f, r.GetItems())
}

func (c *constraints) mapping(f protoreflect.FieldDescriptor, r *validate.MapRules) {
	if r.GetMinPairs() > 0 {
		c.schema.put("minProperties", int64(r.GetMinPairs())) //nolint:gosec // as in repeated
		c.zero = false
	}
	if r.MaxPairs != nil {
		c.schema.put("maxProperties", int64(min(r.GetMaxPairs(), 1<<53))) //nolint:gosec // as in repeated
	}
	c.element("additionalProperties", f.MapValue(), r.GetValues())
	if keys := r.GetKeys(); keys.GetString() != nil && keys.GetIgnore() == validate.Ignore_IGNORE_UNSPECIFIED {
		names := &constraints{schema: obj("type", "string"), form: c.form}
		names.text(keys.GetString())
		c.schema.put("propertyNames", names.schema)
		c.remarks = append(c.remarks, names.remarks...)
	}
}

// element lays rules over the schema of the elements of a list or a map.
func (c *constraints) element(member string, f protoreflect.FieldDescriptor, r *validate.FieldRules) {
	of, ok := c.schema.get(member).(*object)
	if !ok || r == nil || r.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		return
	}
	inner := &constraints{schema: of.clone(), form: c.form, zero: true}
	inner.value(f, r)
	inner.remark(r)
	schema := inner.schema
	if zero := zeroOf(f, c.form); r.GetIgnore() == validate.Ignore_IGNORE_IF_ZERO_VALUE && !inner.zero && zero != nil {
		schema = obj("anyOf", list{zero, schema})
	}
	c.schema.put(member, schema)
}

// zeroOf is the schema of the zero of one element.
func zeroOf(f protoreflect.FieldDescriptor, in form) *object {
	if f.IsList() {
		return zeroSchema(element{f}, in)
	}
	return zeroSchema(f, in)
}

// element is a field as if it were not repeated.
type element struct{ protoreflect.FieldDescriptor }

func (element) IsList() bool { return false }

// nonZero refuses the zero of a field without presence.
func (c *constraints) nonZero(f protoreflect.FieldDescriptor) {
	switch {
	case f.IsList():
		if c.schema.get("minItems") == nil {
			c.schema.put("minItems", 1)
		}
	case f.IsMap():
		if c.schema.get("minProperties") == nil {
			c.schema.put("minProperties", 1)
		}
	default:
		if zero := zeroSchema(f, c.form); zero != nil {
			c.also(obj("not", zero))
		}
	}
}

// also adds a schema that must hold besides.
func (c *constraints) also(schema *object) {
	if len(schema.keys) == 1 && c.schema.get(schema.keys[0]) == nil {
		c.schema.put(schema.keys[0], schema.values[0])
		return
	}
	all, _ := c.schema.get("allOf").(list)
	c.schema.put("allOf", append(slices.Clone(all), schema))
}

func (c *constraints) enum(e protoreflect.EnumDescriptor, r *validate.EnumRules) {
	values := func(numbers []int32) list {
		var l list
		for _, n := range numbers {
			l = append(l, enumJSON(e, n, c.form))
		}
		return l
	}
	if r.Const != nil {
		c.schema.put("const", enumJSON(e, r.GetConst(), c.form))
		c.zero = c.zero && r.GetConst() == 0
	}
	if len(r.GetIn()) > 0 {
		c.schema.put("enum", values(r.GetIn()))
		c.zero = c.zero && slices.Contains(r.GetIn(), 0)
	}
	if len(r.GetNotIn()) > 0 {
		c.also(obj("not", obj("enum", values(r.GetNotIn()))))
		c.zero = c.zero && !slices.Contains(r.GetNotIn(), 0)
	}
}

// remark tells of rules in words (Surface 217).
func (c *constraints) remark(r *validate.FieldRules) {
	c.expressions(r.GetCel(), r.GetCelExpression())
	c.describe()
}

// expressions tells of rules in CEL.
func (c *constraints) expressions(rules []*validate.Rule, texts []string) {
	var expressions list
	for _, rule := range rules {
		expressions = append(expressions, obj("id", rule.GetId(), "message", rule.GetMessage(), "expression", rule.GetExpression()))
		if rule.GetMessage() != "" {
			c.remarks = append(c.remarks, rule.GetMessage())
		}
	}
	for _, expression := range texts {
		expressions = append(expressions, obj("expression", expression))
	}
	c.schema.set("x-cel", expressions)
}

// describe writes what there is to say of rules in words behind the description.
func (c *constraints) describe() {
	if len(c.remarks) > 0 {
		about, _ := c.schema.get("description").(string)
		if about != "" {
			about += "\n\n"
		}
		c.schema.put("description", about+"Rules: "+strings.Join(c.remarks, "; ")+".")
		c.remarks = nil
	}
}

func (c *constraints) remarkf(format string, args ...any) {
	c.remarks = append(c.remarks, fmt.Sprintf(format, args...))
}
