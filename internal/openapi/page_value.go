package openapi

import (
	"fmt"
	"slices"
	"strings"
)

// typeText says which values a schema takes.
func typeText(s *object) pageText {
	if ref, ok := s.get("$ref").(string); ok {
		return pageText{Link: strings.TrimPrefix(ref, schemaPlace)}
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

// ofType reports whether a keyword says no more than the type does, which has a text of its own: that a number as a string
// has digits, or an unsigned one no sign.
func ofType(s *object, keyword string, value any) bool {
	switch keyword {
	case "pattern":
		return strings.Contains(typeText(s).Before, "int64")
	case "minimum":
		return s.get("format") == "uint32" && shown(value) == "0"
	}
	return false
}

// notes are what a schema says of its values besides their type.
func notes(s *object) (words []string) {
	for keyword, word := range map[string]string{"deprecated": "deprecated", "readOnly": "read only", "writeOnly": "write only", "uniqueItems": "no element twice", "x-immutable": "cannot be changed"} {
		if s.get(keyword) == true {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	for _, r := range rules {
		if v := s.get(r.keyword); v != nil && !ofType(s, r.keyword, v) {
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
