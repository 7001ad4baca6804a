package openapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

const componentPrefix = "#/components/schemas/"

// typeText says which values a schema takes.
func typeText(s *object) pageText {
	if ref, ok := s.get("$ref").(string); ok {
		return pageText{Link: strings.TrimPrefix(ref, componentPrefix)}
	}
	if items, ok := s.get("items").(*object); ok {
		inner := typeText(items)
		return pageText{"list of " + inner.Before, inner.Link, inner.After}
	}
	if values, ok := s.get("additionalProperties").(*object); ok {
		inner := typeText(values)
		return pageText{"map to " + inner.Before, inner.Link, inner.After}
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		if ways, ok := s.get(word).(list); ok && len(ways) > 0 && s.get("type") == nil {
			if first, ok := ways[0].(*object); ok {
				return typeText(first)
			}
		}
	}
	if s.get("contentEncoding") == "base64" {
		return pageText{Before: "bytes, as base64"}
	}
	kind := kindText(s.get("type"))
	if format, ok := s.get("format").(string); ok {
		kind += " (" + format + ")"
	}
	return pageText{Before: kind}
}

// kindText is a type of JSON Schema in words.
func kindText(kind any) string {
	switch t := kind.(type) {
	case string:
		return t
	case list:
		return shown(t[0]) + " or null"
	}
	return "any JSON"
}

// rules are the keywords of JSON Schema that bound a value, as texts with the value in them.
var rules = []struct{ keyword, text string }{
	{"const", "is %s"}, {"minimum", "at least %s"}, {"exclusiveMinimum", "more than %s"}, {"maximum", "at most %s"}, {"exclusiveMaximum", "less than %s"},
	{"multipleOf", "a multiple of %s"}, {"minLength", "at least %s characters"}, {"maxLength", "at most %s characters"}, {"pattern", "matches %s"},
	{"minItems", "at least %s elements"}, {"maxItems", "at most %s elements"}, {"minProperties", "at least %s entries"}, {"maxProperties", "at most %s entries"},
}

// notes are what a schema says of its values besides their type.
func notes(s *object) (words []string) {
	for keyword, word := range map[string]string{"deprecated": "deprecated", "readOnly": "read only", "writeOnly": "write only", "uniqueItems": "no element twice", "x-immutable": "cannot be changed"} {
		if s.get(keyword) == true {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	number := strings.Contains(typeText(s).Before, "int64") // the pattern is that of the type
	for _, r := range rules {
		if v := s.get(r.keyword); v != nil && (!number || r.keyword != "pattern") {
			words = append(words, fmt.Sprintf(r.text, shown(v)))
		}
	}
	if values, ok := s.get("enum").(list); ok {
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = shown(v)
		}
		words = append(words, "one of "+strings.Join(texts, ", "))
	}
	if below, ok := s.get("items").(*object); ok && below.get("$ref") == nil {
		for _, word := range notes(below) {
			words = append(words, "each "+word)
		}
	}
	return words
}

const (
	// maxPageDepth and maxPageValues bound examples: messages may nest without an end.
	maxPageDepth  = 4
	maxPageValues = 100
)

// exampleMaker makes an example of a schema.
type exampleMaker struct {
	schemas *schemas
	sent    bool // by the client, who sends nothing that is read only
	values  int
	within  []string // names of the components above
}

// value is an example of what a schema takes. name is that of the field, "" for none.
func (e *exampleMaker) value(s *object, name string, depth int) any {
	e.values++
	if ref, ok := s.get("$ref").(string); ok {
		return e.referred(strings.TrimPrefix(ref, componentPrefix), depth)
	}
	if constant := s.get("const"); constant != nil {
		return constant
	}
	if values, ok := s.get("enum").(list); ok && len(values) > 0 {
		return values[min(1, len(values)-1)] // the first says that nothing is said
	}
	kind, _ := s.get("type").(string)
	if kinds, ok := s.get("type").(list); ok {
		kind = shown(kinds[0])
	}
	switch kind {
	case "object":
		return e.object(s, depth)
	case "array":
		items, _ := s.get("items").(*object)
		if items == nil || depth >= maxPageDepth || e.values > maxPageValues {
			return list{}
		}
		return list{e.value(items, name, depth+1)}
	case "boolean":
		return true
	case "integer", "number":
		return pageNumber(s)
	case "null":
		return nil
	case "string":
		return pageExample(s, name)
	}
	if ways, ok := s.get("anyOf").(list); ok && len(ways) > 0 {
		if first, ok := ways[0].(*object); ok {
			return e.value(first, name, depth)
		}
	}
	return "anything"
}

// referred is an example of a component.
func (e *exampleMaker) referred(name string, depth int) any {
	c := e.schemas.named[name]
	if c == nil {
		return &object{}
	}
	if enum, ok := c.of.(protoreflect.EnumDescriptor); ok {
		return e.value(e.schemas.enum(enum, c.form), "", depth)
	}
	if slices.Contains(e.within, name) || depth >= maxPageDepth {
		return &object{}
	}
	e.within = append(e.within, name)
	defer func() { e.within = e.within[:len(e.within)-1] }()
	message, _ := c.of.(protoreflect.MessageDescriptor) // a component is one or the other
	o := e.object(e.schemas.object(message, c.form, nil), depth)
	for i := range message.Fields().Len() {
		f := message.Fields().Get(i)
		if entries, ok := o.get(fieldName(f, c.form)).(*object); ok && f.IsMap() && len(entries.keys) == 1 && f.MapKey().Kind() == protoreflect.BoolKind {
			entries.keys[0] = "true"
		}
	}
	return o
}

// object is an example with a value for each field, for the first alone of a oneof.
func (e *exampleMaker) object(s *object, depth int) *object {
	o := &object{}
	if values, ok := s.get("additionalProperties").(*object); ok && depth < maxPageDepth {
		// The key may be text or a number; referred knows where it is neither.
		o.put("1", e.value(values, "", depth+1))
	}
	properties, _ := s.get("properties").(*object)
	if properties == nil {
		return o
	}
	others := othersOfOneofs(s)
	for i, name := range properties.keys {
		property, _ := properties.values[i].(*object)
		hidden := property == nil || e.sent && property.get("readOnly") == true || !e.sent && property.get("writeOnly") == true
		if hidden || others[name] || name == "@type" || e.values > maxPageValues {
			continue
		}
		if ref, ok := property.get("$ref").(string); ok && slices.Contains(e.within, strings.TrimPrefix(ref, componentPrefix)) {
			continue // it has itself within
		}
		o.put(name, e.value(property, name, depth+1))
	}
	return o
}

// pageNumber is one within the bounds.
func pageNumber(s *object) any {
	for keyword, more := range map[string]int64{"minimum": 0, "exclusiveMinimum": 1} {
		if v := s.get(keyword); v != nil {
			if n, err := strconv.ParseInt(shown(v), 10, 64); err == nil {
				return max(n+more, 1)
			}
		}
	}
	if v := s.get("maximum"); v != nil {
		if n, err := strconv.ParseInt(shown(v), 10, 64); err == nil {
			return min(n, 1)
		}
	}
	return int64(1)
}

// pageFormats are texts of the formats of JSON Schema.
var pageFormats = map[string]string{
	"int64": "1", "uint64": "1", "date-time": "2026-01-31T12:00:00Z", "uuid": "123e4567-e89b-12d3-a456-426614174000",
	"email": "reader@example.com", "uri": "https://example.com/", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
}

// pageExample is one of the format, or the field's own name.
func pageExample(s *object, name string) string {
	if s.get("contentEncoding") == "base64" {
		return "AAAA"
	}
	format, _ := s.get("format").(string)
	if text := pageFormats[format]; text != "" {
		return text
	}
	if pattern, _ := s.get("pattern").(string); strings.HasSuffix(pattern, "s$") && strings.HasPrefix(pattern, "^-?[0-9]+") {
		return "3s" // a Duration
	}
	text := name
	if text == "" {
		text = "text"
	}
	if n, err := strconv.Atoi(shown(s.get("minLength"))); err == nil && len(text) < min(n, 100) {
		text += strings.Repeat("x", n-len(text))
	}
	if n, err := strconv.Atoi(shown(s.get("maxLength"))); err == nil && len(text) > n {
		text = text[:max(n, 0)]
	}
	return text
}
