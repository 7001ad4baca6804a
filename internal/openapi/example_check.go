package openapi

import (
	"math"
	"regexp"
	"slices"
	"unicode/utf8"
)

// valid reports whether a value is one of a schema, as far as the keywords go that this package
// writes. What it does not know, such as a pattern that Go has no words for, is no.
func (e *exampler) valid(s *object, v any, depth int) bool {
	if s == nil || depth > 20 {
		return false
	}
	if reference, ok := s.get("$ref").(string); ok && !e.valid(e.writer.component(reference), v, depth+1) {
		return false
	}
	for i, keyword := range s.keys {
		if !e.holds(s, keyword, s.values[i], v, depth) {
			return false
		}
	}
	return true
}

// holds reports whether a value is as one keyword asks.
func (e *exampler) holds(s *object, keyword string, of, v any, depth int) bool {
	is := func(schema any) bool {
		o, ok := schema.(*object)
		return ok && e.valid(o, v, depth+1)
	}
	ways, _ := of.(list)
	switch keyword {
	case "type":
		return hasType(of, v)
	case "const":
		return same(of, v)
	case "enum":
		return slices.ContainsFunc(ways, func(w any) bool { return same(w, v) })
	case "not":
		return !is(of)
	case "allOf":
		return !slices.ContainsFunc(ways, func(w any) bool { return !is(w) })
	case "anyOf":
		return slices.ContainsFunc(ways, is)
	case "oneOf":
		n := 0
		for _, w := range ways {
			if is(w) {
				n++
			}
		}
		return n == 1
	}
	switch value := v.(type) {
	case string:
		return e.textHolds(keyword, of, value)
	case *object:
		return e.objectHolds(s, keyword, of, value, depth)
	case list:
		return e.listHolds(keyword, of, value, depth)
	}
	return numberHolds(keyword, of, v)
}

// hasType reports whether a value is of a type, or of one of several.
func hasType(kind, v any) bool {
	if kinds, ok := kind.(list); ok {
		return slices.ContainsFunc(kinds, func(k any) bool { return hasType(k, v) })
	}
	switch v.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case *object:
		return kind == "object"
	case list:
		return kind == "array"
	}
	f, ok := toFloat(v)
	return ok && (kind == "number" || kind == "integer" && f == math.Trunc(f))
}

// same reports whether two values are one in JSON.
func same(a, b any) bool {
	if x, ok := toFloat(a); ok {
		y, ok := toFloat(b)
		return ok && x == y
	}
	return string(appendJSON(nil, a, 0)) == string(appendJSON(nil, b, 0))
}

func numberHolds(keyword string, of, v any) bool {
	limit, ok := toFloat(of)
	value, is := toFloat(v)
	if !ok || !is {
		return true
	}
	switch keyword {
	case "minimum":
		return value >= limit
	case "maximum":
		return value <= limit
	case "exclusiveMinimum":
		return value > limit
	case "exclusiveMaximum":
		return value < limit
	case "multipleOf":
		return limit > 0 && math.Abs(math.Remainder(value, limit)) < 1e-9
	}
	return true
}

func (e *exampler) textHolds(keyword string, of any, v string) bool {
	switch keyword {
	case "minLength":
		return utf8.RuneCountInString(v) >= toInt(of, 0)
	case "maxLength":
		return utf8.RuneCountInString(v) <= toInt(of, 0)
	case "pattern":
		text, _ := of.(string)
		pattern := e.writer.compiled(text)
		return pattern != nil && pattern.MatchString(v)
	}
	return true
}

// compiled is a pattern, once for a document; nil for one that Go has no words for.
func (w *writer) compiled(text string) *regexp.Regexp {
	pattern, known := w.patterns[text]
	if known {
		return pattern
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		pattern = nil
	}
	w.patterns[text] = pattern
	return pattern
}

func (e *exampler) listHolds(keyword string, of any, v list, depth int) bool {
	switch keyword {
	case "minItems":
		return len(v) >= toInt(of, 0)
	case "maxItems":
		return len(v) <= toInt(of, 0)
	case "items":
		schema, _ := of.(*object)
		return !slices.ContainsFunc(v, func(item any) bool { return !e.valid(schema, item, depth+1) })
	case "uniqueItems":
		for i := range v {
			if slices.ContainsFunc(v[:i], func(other any) bool { return same(other, v[i]) }) {
				return false
			}
		}
	}
	return true
}

func (e *exampler) objectHolds(s *object, keyword string, of any, v *object, depth int) bool {
	schema, _ := of.(*object)
	properties, _ := s.get("properties").(*object)
	switch keyword {
	case "required":
		names, _ := of.(list)
		return !slices.ContainsFunc(names, func(name any) bool {
			text, _ := name.(string)
			property, _ := properties.get(text).(*object)
			return !v.has(text) && !e.hides(property)
		})
	case "minProperties":
		return len(v.keys) >= toInt(of, 0)
	case "maxProperties":
		return len(v.keys) <= toInt(of, 0)
	case "properties":
		for i, name := range v.keys {
			if property, ok := schema.get(name).(*object); ok && !e.valid(property, v.values[i], depth+1) {
				return false
			}
		}
	case "propertyNames":
		return !slices.ContainsFunc(v.keys, func(name string) bool { return !e.valid(schema, name, depth+1) })
	case "additionalProperties":
		for i, name := range v.keys {
			if schema != nil && !properties.has(name) && !e.valid(schema, v.values[i], depth+1) {
				return false
			}
		}
	}
	return true
}
