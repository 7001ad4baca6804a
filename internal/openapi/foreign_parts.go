package openapi

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// special convert the messages of options that OpenAPI 3.1 writes otherwise, by their name and
// the dialect's. It is filled below its uses, which are recursive.
var special map[string]func(c *converter, m protoreflect.Message, path string) any

func init() { //nolint:gochecknoinits // the functions refer to the table that they are in
	special = map[string]func(*converter, protoreflect.Message, string) any{
		"Schema@protoc-gen-openapiv2":              (*converter).schema2,
		"JSONSchema@protoc-gen-openapiv2":          (*converter).keywords,
		"EnumSchema@protoc-gen-openapiv2":          (*converter).keywords,
		"SecurityRequirement@protoc-gen-openapiv2": (*converter).requirement,
		"SecurityScheme@protoc-gen-openapiv2":      (*converter).scheme2,
		"Response@protoc-gen-openapiv2":            (*converter).response2,
		"Parameters@protoc-gen-openapiv2":          (*converter).headers2,
		"Schema@gnostic":                           (*converter).keywords,
		"Any@gnostic":                              (*converter).yaml,
		"SecurityRequirement@gnostic":              (*converter).requirement,
		"StringArray@gnostic":                      (*converter).strings,
		"ItemsItem@gnostic":                        (*converter).items,
		"SecurityRequirement@protoc-gen-openapiv3": (*converter).requirement,
	}
}

// field is the value of a field that is set.
func field(m protoreflect.Message, name protoreflect.Name) (protoreflect.FieldDescriptor, protoreflect.Value, bool) {
	f := m.Descriptor().Fields().ByName(name)
	if f == nil || !m.Has(f) {
		return f, protoreflect.Value{}, false
	}
	return f, m.Get(f), true
}

// schema2 is a schema of Swagger with what stands beside it.
func (c *converter) schema2(m protoreflect.Message, path string) any {
	o := &object{}
	if f, v, ok := field(m, "json_schema"); ok && f.Message() != nil && !f.IsList() && !f.IsMap() {
		if inner, ok := c.keywords(v.Message(), path+".json_schema").(*object); ok {
			o = inner
		}
	}
	outer := &object{}
	c.members(outer, m, path)
	outer.remove("jsonSchema")
	c.modern(outer, path)
	for i, name := range outer.keys {
		o.put(name, outer.values[i])
	}
	return o
}

// keywords are those of a schema of Swagger or OpenAPI 3.0.
func (c *converter) keywords(m protoreflect.Message, path string) any {
	o := &object{}
	c.members(o, m, path)
	c.modern(o, path)
	return o
}

// modern writes keywords of before OpenAPI 3.1 as those of JSON Schema.
func (c *converter) modern(o *object, path string) {
	for _, bound := range [][2]string{{"exclusiveMaximum", "maximum"}, {"exclusiveMinimum", "minimum"}} {
		if o.get(bound[0]) != true {
			continue
		}
		o.remove(bound[0])
		if value := o.get(bound[1]); value != nil {
			o.remove(bound[1])
			o.put(bound[0], value)
		}
	}
	if example := o.get("example"); o.has("example") {
		o.remove("example")
		if text, ok := example.(string); ok && c.of.name == "protoc-gen-openapiv2" {
			example = textValue(text)
		}
		o.put("examples", list{example})
	}
	if text, ok := o.get("default").(string); ok && c.of.name == "protoc-gen-openapiv2" {
		o.put("default", textValue(text))
	}
	c.modernType(o, path)
}

// modernType writes what Swagger and OpenAPI 3.0 say of types, and takes away what has no meaning here.
func (c *converter) modernType(o *object, path string) {
	if l, ok := o.get("type").(list); ok && len(l) == 1 {
		o.put("type", l[0])
	}
	if o.get("nullable") == true {
		o.remove("nullable")
		if kind, ok := o.get("type").(string); ok {
			o.put("type", list{kind, "null"})
		} else {
			c.unused(path+".nullable", "it stands beside no type")
		}
	}
	for _, name := range []string{"discriminator", "xml", "array"} {
		if o.has(name) && (name != "xml" || c.of.name == "gnostic") {
			o.remove(name)
			c.unused(strings.TrimPrefix(path+"."+name, "."), "the JSON of a message has no such thing")
		}
	}
}

// requirement is one of security: the scopes of each scheme.
func (c *converter) requirement(m protoreflect.Message, path string) any {
	o := &object{}
	inner := &object{}
	c.members(inner, m, path)
	for i, name := range inner.keys {
		scopes, ok := inner.values[i].(*object)
		if !ok {
			o.put(name, inner.values[i]) // gnostic names schemes by themselves
			continue
		}
		for j, scheme := range scopes.keys {
			of, _ := scopes.values[j].(*object)
			l := list{}
			for _, member := range []string{"scope", "scopes"} {
				if have, ok := of.get(member).(list); ok {
					l = have
				}
			}
			o.put(scheme, l)
		}
	}
	return o
}

// scheme2 is a way to prove who calls, of Swagger.
func (c *converter) scheme2(m protoreflect.Message, path string) any {
	o := &object{}
	c.members(o, m, path)
	switch o.get("type") {
	case "basic":
		o.put("type", "http")
		o.put("scheme", "basic")
	case "oauth2":
		flow, _ := o.get("flow").(string)
		scopes := o.at("scopes").at("scope")
		way := obj("scopes", scopes)
		for _, name := range []string{"authorizationUrl", "tokenUrl"} {
			way.set(name, o.get(name))
			o.remove(name)
		}
		o.remove("flow")
		o.remove("scopes")
		name := map[string]string{"application": "clientCredentials", "accessCode": "authorizationCode"}[flow]
		if name == "" {
			name = flow
		}
		if name == "" {
			c.unused(path+".flow", "it is not set")
			return o
		}
		o.put("flows", obj(name, way))
	}
	return o
}

// response2 is an answer of Swagger, whose schema and examples stand beside its headers.
func (c *converter) response2(m protoreflect.Message, path string) any {
	o := &object{}
	c.members(o, m, path)
	schema, examples := o.get("schema"), o.get("examples")
	o.remove("schema")
	o.remove("examples")
	if headers, ok := o.get("headers").(*object); ok {
		for i := range headers.keys {
			if h, ok := headers.values[i].(*object); ok {
				about := obj("description", h.get("description"))
				h.remove("description")
				c.modern(h, path+".headers."+headers.keys[i])
				about.put("schema", h)
				headers.values[i] = about
			}
		}
	}
	content := &object{}
	if s, ok := schema.(*object); ok && len(s.keys) > 0 {
		content.at("application/json").put("schema", s)
	}
	if of, ok := examples.(*object); ok {
		for i, kind := range of.keys {
			if text, ok := of.values[i].(string); ok {
				content.at(kind).put("example", textValue(text))
			}
		}
	}
	if len(content.keys) > 0 {
		o.put("content", content)
	}
	return o
}

// headers2 are the headers that a method takes.
func (c *converter) headers2(m protoreflect.Message, path string) any {
	o := &object{}
	c.members(o, m, path)
	var all list
	headers, _ := o.get("headers").(list)
	for _, h := range headers {
		header, ok := h.(*object)
		if !ok {
			continue
		}
		p := obj("name", header.get("name"), "in", "header", "description", header.get("description"))
		if header.get("required") == true {
			p.put("required", true)
		}
		s := obj("type", header.get("type"), "format", header.get("format"))
		p.put("schema", s)
		all = append(all, p)
	}
	return all
}

// strings are the values of a list.
func (c *converter) strings(m protoreflect.Message, path string) any {
	o := &object{}
	c.members(o, m, path)
	if l, ok := o.get("value").(list); ok {
		return l
	}
	return list{}
}

// items is the schema of the elements of a list.
func (c *converter) items(m protoreflect.Message, path string) any {
	o := &object{}
	c.members(o, m, path)
	if l, ok := o.get("schemaOrReference").(list); ok && len(l) > 0 {
		return l[0]
	}
	return &object{}
}

// yaml is a value that gnostic has as YAML: JSON, which is YAML too, or a plain word.
func (c *converter) yaml(m protoreflect.Message, path string) any {
	_, v, ok := field(m, "yaml")
	if !ok {
		c.unused(path, "it has no yaml")
		return nil
	}
	text := strings.TrimSpace(v.String())
	value := textValue(text)
	plain, isText := value.(string)
	if !isText || plain != text {
		return value
	}
	if strings.HasPrefix(text, "'") && strings.HasSuffix(text, "'") && len(text) > 1 {
		return strings.ReplaceAll(text[1:len(text)-1], "''", "'")
	}
	if strings.ContainsAny(text, "\n") || strings.Contains(text, ": ") || strings.HasPrefix(text, "- ") || text != "" && strings.ContainsRune("&*!|>{}[]%@`\"", rune(text[0])) {
		c.unused(path, "it is YAML of more than a word; write it as JSON, which is YAML, too")
		return unread{}
	}
	return text
}

// textValue is the value that JSON says, or the text itself where it is none.
func textValue(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	value, err := decodeValue(d, 0)
	if err != nil {
		return text
	}
	if _, err := d.Token(); err != io.EOF {
		return text
	}
	return value
}

// maxValueDepth bounds how deep the JSON of an option may nest.
const maxValueDepth = 100

// decodeValue reads a value, its members in their order.
func decodeValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Number:
		return number(t.String()), nil
	case json.Delim:
		if depth > maxValueDepth {
			return nil, io.ErrUnexpectedEOF
		}
		return decodeNested(d, t, depth)
	}
	return token, nil
}

func decodeNested(d *json.Decoder, open json.Delim, depth int) (any, error) {
	o, l := &object{}, list{}
	for d.More() {
		var key string
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, _ = token.(string)
		}
		value, err := decodeValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		if open == '{' {
			o.put(key, value)
		} else {
			l = append(l, value)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if open == '{' {
		return o, nil
	}
	return l, nil
}

// structValue is what a google.protobuf.Value of any type holds.
func structValue(m protoreflect.Message) any {
	if _, v, ok := field(m, "number_value"); ok {
		return floatNumber(v.Float())
	}
	if _, v, ok := field(m, "string_value"); ok {
		return v.String()
	}
	if _, v, ok := field(m, "bool_value"); ok {
		return v.Bool()
	}
	if _, v, ok := field(m, "struct_value"); ok {
		o := &object{}
		if f, fields, ok := field(v.Message(), "fields"); ok && f.IsMap() {
			members := map[string]any{}
			fields.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				members[k.String()] = structValue(v.Message())
				return true
			})
			for _, name := range slices.Sorted(maps.Keys(members)) {
				o.add(name, members[name])
			}
		}
		return o
	}
	return structList(m)
}

// structList is the list that a google.protobuf.Value holds; nil for any other.
func structList(m protoreflect.Message) any {
	if _, v, ok := field(m, "list_value"); ok {
		l := list{}
		if _, values, ok := field(v.Message(), "values"); ok {
			for i := range values.List().Len() {
				l = append(l, structValue(values.List().Get(i).Message()))
			}
		}
		return l
	}
	return nil
}

// floatNumber is a number as JSON has it.
func floatNumber(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return number(strconv.FormatFloat(f, 'g', -1, 64))
}
