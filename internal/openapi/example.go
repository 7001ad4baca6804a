package openapi

import (
	"math"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxExampleDepth bounds how deep messages nest in an example.
const maxExampleDepth = 3

// addExamples gives the schemas of messages an example each, where options give none. It is made of
// the schema alone, always the same, and only where it is valid (Surface 226).
func (w *writer) addExamples(components *object) {
	all, _ := components.get("schemas").(*object)
	if all == nil {
		return
	}
	e := &exampler{all: all}
	for i := range all.keys {
		o, ok := all.values[i].(*object)
		if ok {
			w.checkExamples(e, all.keys[i], o)
		}
		if !ok || o.get("type") != "object" || o.has("examples") || !o.has("properties") {
			continue
		}
		if value, ok := e.value(o, 0); ok && e.valid(o, value, 0) {
			o.put("examples", list{value})
		}
	}
}

// checkExamples takes away what options give for an example and the schema refuses, of a message and
// of its fields.
func (w *writer) checkExamples(e *exampler, name string, o *object) {
	check := func(s *object, at string) {
		given, _ := s.get("examples").(list)
		kept := slices.DeleteFunc(slices.Clone(given), func(v any) bool { return !e.valid(s, v, 0) })
		if len(kept) == len(given) {
			return
		}
		s.remove("examples")
		s.set("examples", kept)
		if c := w.schemas.named[name]; c != nil {
			w.remark(c.of, "the OpenAPI document is without the example of an option"+at+": it is not valid by its schema, which has what is required and the rules of fields")
		}
	}
	properties, _ := o.get("properties").(*object)
	if properties != nil {
		for i, field := range properties.keys {
			if property, ok := properties.values[i].(*object); ok {
				check(property, " of "+field)
			}
		}
	}
	check(o, "")
}

// exampler makes values of schemas.
type exampler struct{ all *object }

// resolve is what a reference leads to; nil for another document's.
func (e *exampler) resolve(s *object) *object {
	if reference, ok := s.get("$ref").(string); ok {
		target, _ := e.all.get(strings.TrimPrefix(reference, schemaPlace)).(*object)
		return target
	}
	return s
}

// value makes a value of a schema, which may not be valid; false where there is none.
func (e *exampler) value(s *object, depth int) (any, bool) {
	if s.has("$ref") {
		if s = e.resolve(s); s == nil || depth >= maxExampleDepth {
			return nil, false
		}
		depth++
	}
	if given, ok := s.get("examples").(list); ok && len(given) > 0 {
		return given[0], true
	}
	if s.has("const") {
		return s.get("const"), true
	}
	if values, ok := s.get("enum").(list); ok && len(values) > 0 {
		return values[min(1, len(values)-1)], true // the first is often UNSPECIFIED
	}
	if !s.has("type") {
		return e.untyped(s, depth), true
	}
	return e.typed(s, typeOf(s), depth)
}

// untyped is an example of one of the ways in which a schema may be.
func (e *exampler) untyped(s *object, depth int) any {
	for _, way := range []string{"anyOf", "oneOf"} {
		ways, _ := s.get(way).(list)
		for _, o := range slices.Backward(ways) { // the zero stands first
			if one, ok := o.(*object); ok && one.get("type") != "null" {
				if v, ok := e.value(one, depth); ok {
					return v
				}
			}
		}
	}
	return "any"
}

// typeOf is the type of a schema other than null.
func typeOf(s *object) string {
	if kinds, ok := s.get("type").(list); ok {
		for _, k := range kinds {
			if text, _ := k.(string); text != "null" {
				return text
			}
		}
	}
	kind, _ := s.get("type").(string)
	return kind
}

func (e *exampler) typed(s *object, kind string, depth int) (any, bool) {
	switch kind {
	case "boolean":
		return true, true
	case "integer", "number":
		return exampleNumber(s), true
	case "string":
		return exampleText(s)
	case "array":
		items, ok := s.get("items").(*object)
		l := list{}
		for n := max(1, toInt(s.get("minItems"), 0)); ok && len(l) < min(n, 10); {
			v, made := e.value(items, depth)
			if !made {
				break
			}
			l = append(l, v)
		}
		return l, len(l) >= toInt(s.get("minItems"), 0)
	case "object":
		return e.object(s, depth)
	}
	return nil, kind == "null"
}

// object makes the members of an object, of a oneof the first.
func (e *exampler) object(s *object, depth int) (any, bool) {
	o := &object{}
	properties, _ := s.get("properties").(*object)
	required, _ := s.get("required").(list)
	excluded := othersOfOneofs(s)
	if properties == nil {
		return o, len(required) == 0
	}
	for i, name := range properties.keys {
		property, _ := properties.values[i].(*object)
		demanded := slices.Contains(required, any(name))
		if excluded[name] && !demanded || property == nil {
			continue
		}
		v, ok := e.value(property, depth)
		switch {
		case ok && e.valid(property, v, 0):
			o.put(name, v)
		case demanded:
			return nil, false
		}
	}
	return o, true
}

// othersOfOneofs are the members of a schema's oneofs but for the first of each.
func othersOfOneofs(s *object) map[string]bool {
	others := map[string]bool{}
	if oneofs, ok := s.get("x-oneof").(*object); ok {
		for _, v := range oneofs.values {
			names, _ := v.(list)
			for _, name := range names[min(1, len(names)):] {
				text, _ := name.(string)
				others[text] = true
			}
		}
	}
	return others
}

// toInt is a number of a keyword.
func toInt(v any, otherwise int) int {
	if f, ok := toFloat(v); ok {
		return int(min(max(f, -1<<31), 1<<31))
	}
	return otherwise
}

// toFloat is a number of a schema or a value.
func toFloat(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case number:
		f, err := strconv.ParseFloat(string(n), 64)
		return f, err == nil
	}
	return 0, false
}

// exampleNumber is a number within the bounds of a schema.
func exampleNumber(s *object) any {
	value := 1.0
	if low, ok := toFloat(s.get("minimum")); ok {
		value = max(value, math.Ceil(low))
	}
	if low, ok := toFloat(s.get("exclusiveMinimum")); ok && value <= low {
		value = math.Floor(low) + 1
	}
	if high, ok := toFloat(s.get("maximum")); ok {
		value = min(value, math.Floor(high))
	}
	if high, ok := toFloat(s.get("exclusiveMaximum")); ok && value >= high {
		value = math.Ceil(high) - 1
	}
	if step, ok := toFloat(s.get("multipleOf")); ok && step > 0 {
		value = math.Ceil(value/step) * step
	}
	return number(strconv.FormatFloat(value, 'f', -1, 64))
}

// formats are values of the formats of strings.
var formats = map[string]string{
	"date-time": "2024-05-17T12:30:00Z", "email": "ada@example.com", "uuid": "6f1f9c6e-6a3c-4d3a-9a55-0d7b6c1f2e3d", "uri": "https://example.com/a", "uri-reference": "/a",
	"hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "date": "2024-05-17", "binary": "bytes", "byte": "Ynl0ZXM=",
}

// exampleText is a text of a schema.
func exampleText(s *object) (any, bool) {
	if s.get("contentEncoding") == "base64" {
		return "Ynl0ZXM=", true
	}
	format, _ := s.get("format").(string)
	if text := formats[format]; text != "" {
		return text, true
	}
	least, most := toInt(s.get("minLength"), 0), toInt(s.get("maxLength"), 1<<31)
	if pattern, ok := s.get("pattern").(string); ok {
		tree, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			return nil, false
		}
		var b strings.Builder
		appendMatch(&b, tree.Simplify(), least)
		return b.String(), true
	}
	text := "text"
	for least > utf8.RuneCountInString(text) && least < 1000 {
		text += "t"
	}
	return text[:min(len(text), max(0, most))], true
}

// appendMatch writes a text that a pattern matches, about as long as it is to be at least; what it
// cannot, such as a word boundary, the check finds.
func appendMatch(b *strings.Builder, r *syntax.Regexp, least int) {
	repeat := func(low, high int) {
		n := max(low, 0)
		if n == 0 && least == 0 {
			return
		}
		for i := 0; i < n || b.Len() < least && (high < 0 || i < high) && i < 1000; i++ {
			appendMatch(b, r.Sub[0], 0)
		}
	}
	switch r.Op {
	case syntax.OpLiteral:
		b.WriteString(string(r.Rune))
	case syntax.OpCharClass:
		b.WriteRune(classRune(r.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('a')
	case syntax.OpStar:
		repeat(0, -1)
	case syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpPlus:
		repeat(1, -1)
	case syntax.OpRepeat:
		repeat(r.Min, r.Max)
	case syntax.OpAlternate:
		appendMatch(b, r.Sub[0], least)
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range r.Sub {
			appendMatch(b, sub, least)
		}
	}
}

// classRune is a character of a class: a letter or a digit where there is one.
func classRune(ranges []rune) rune {
	for _, wanted := range "a1AxZz09" {
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= wanted && wanted <= ranges[i+1] {
				return wanted
			}
		}
	}
	if len(ranges) == 0 {
		return 'a'
	}
	return ranges[0]
}
