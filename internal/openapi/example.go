package openapi

import (
	"slices"
	"strconv"
	"strings"
)

const (
	// maxExampleDepth bounds how deep messages nest in an example.
	maxExampleDepth = 4
	// maxExampleValues is how many values an example has before members that need not be there are
	// left out, and maxExampleSteps how many are tried in all.
	maxExampleValues, maxExampleSteps = 100, 1000
	// maxExampleItems bounds the elements that rules demand of a list or a map.
	maxExampleItems = 20
)

// addExamples gives the schemas of messages an example each, where options give none. It is made of
// the schema alone, always the same, and only where it is valid (Surface 226).
func (w *writer) addExamples(components *object) {
	all, _ := components.get("schemas").(*object)
	if all == nil {
		return
	}
	// All are made before the first is added: an example has none of another's within.
	for i, name := range all.keys {
		if o, ok := all.values[i].(*object); ok {
			w.checkExamples(name, o)
		}
	}
	made := make([]list, len(all.keys))
	for i := range all.keys {
		o, ok := all.values[i].(*object)
		if !ok || o.get("type") != "object" || o.has("examples") || !o.has("properties") {
			continue
		}
		e := &exampler{writer: w, within: []string{schemaPlace + all.keys[i]}}
		if value, ok := e.value(o, ""); ok && e.valid(o, value, 0) {
			made[i] = list{value}
		}
	}
	for i, examples := range made {
		if o, ok := all.values[i].(*object); ok {
			o.set("examples", examples)
		}
	}
}

// checkExamples takes away what options give for an example and the schema refuses, of a message and
// of its fields.
func (w *writer) checkExamples(name string, o *object) {
	c := w.schemas.named[name]
	check := func(s *object, field, at string) {
		given, _ := s.get("examples").(list)
		e := &exampler{writer: w}
		kept := slices.DeleteFunc(slices.Clone(given), func(v any) bool { return !e.valid(s, v, 0) || c.breaks(w.judge, field, v) })
		if len(kept) == len(given) {
			return
		}
		s.remove("examples")
		s.set("examples", kept)
		if c != nil {
			w.remark(c.of, "the OpenAPI document is without the example of an option"+at+": it is not valid by its schema, which has what is required, or by the rules of fields")
		}
	}
	properties, _ := o.get("properties").(*object)
	if properties != nil {
		for i, field := range properties.keys {
			if property, ok := properties.values[i].(*object); ok {
				check(property, field, " of "+field)
			}
		}
	}
	check(o, "", "")
}

// exampler makes an example of a schema: of a component of a document, or of a request or an answer
// on a page.
type exampler struct {
	writer *writer
	// hidden is the keyword of members that are not there: readOnly in what clients send, writeOnly
	// in what they get; "" for none.
	hidden string
	// lax: rules that no schema has may be broken.
	lax bool
	// values are those made so far, within the references above, and turn which of several values
	// of one schema is wanted.
	values int
	within []string
	turn   int
}

// value makes a value of a schema, which may not be valid; false where there is none. name is that of
// the field, "" for none.
func (e *exampler) value(s *object, name string) (any, bool) {
	if e.values++; e.values > maxExampleSteps {
		return nil, false
	}
	if v, ok := e.said(s); ok {
		return v, true
	}
	if reference, ok := s.get("$ref").(string); ok {
		return e.referred(s, reference, name)
	}
	if !s.has("type") {
		return e.untyped(s, name)
	}
	return e.typed(s, typeOf(s), name)
}

// said is a value that the schema names itself: that of an option, one that fits rules without words
// in JSON Schema, the only one, or one of several.
func (e *exampler) said(s *object) (any, bool) {
	given, _ := s.get("examples").(list)
	for _, v := range given {
		if e.valid(s, v, 0) && e.unbroken(s, v) {
			return v, true
		}
	}
	if s.has("const") {
		return s.get("const"), true
	}
	if values, ok := s.get("enum").(list); ok && len(values) > 0 {
		return e.choose(s, values), true
	}
	if s.fits != nil && e.turn == 0 && e.valid(s, s.fits, 0) {
		return s.fits, true
	}
	return nil, false
}

// choose is the second of several values, as the first often stands for none, or the next that
// is valid.
func (e *exampler) choose(s *object, values list) any {
	const most = 50
	for i := range min(len(values), most) {
		if v := values[(i+e.turn+1)%len(values)]; v != nil && e.valid(s, v, 0) {
			return v
		}
	}
	return values[0]
}

// referred is a value of a component, of which keywords beside the reference may take some alone.
func (e *exampler) referred(s *object, reference, name string) (any, bool) {
	target := e.writer.component(reference)
	if target == nil || len(e.within) >= maxExampleDepth || slices.Contains(e.within, reference) {
		return nil, false
	}
	if values, ok := target.get("enum").(list); ok && len(values) > 0 {
		return e.choose(s, values), true
	}
	e.within = append(e.within, reference)
	defer func() { e.within = e.within[:len(e.within)-1] }()
	return e.value(target, name)
}

// component is the schema that a reference leads to; nil for one of another document.
func (w *writer) component(reference string) *object {
	name := strings.TrimPrefix(reference, schemaPlace)
	if c := w.schemas.named[name]; c != nil {
		return w.schemas.made(c)
	}
	return w.bodies[name]
}

// untyped is an example of one of the ways in which a schema may be.
func (e *exampler) untyped(s *object, name string) (any, bool) {
	for _, way := range []string{"anyOf", "oneOf", "allOf"} {
		ways, _ := s.get(way).(list)
		for _, o := range slices.Backward(ways) { // the zero stands first
			if one, ok := o.(*object); ok && one.get("type") != "null" {
				if v, ok := e.value(one, name); ok {
					return v, true
				}
			}
		}
		if len(ways) > 0 {
			return nil, false
		}
	}
	return "any", true
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

func (e *exampler) typed(s *object, kind, name string) (any, bool) {
	switch kind {
	case "boolean":
		return e.turn%2 == 0, true
	case "integer", "number":
		return exampleNumber(s, kind == "integer", e.turn), true
	case "string":
		return exampleText(s, name, e.turn)
	case "array":
		return e.array(s, name)
	case "object":
		if values, ok := s.get("additionalProperties").(*object); ok && !s.has("properties") {
			return e.entries(s, values, name)
		}
		return e.object(s)
	}
	return nil, kind == "null"
}

// elements calls make for each element that a list or a map is to have: one, or as many as rules
// demand. It ends where there is none.
func (e *exampler) elements(least int, differ bool, add func() bool) bool {
	n := max(1, least)
	if e.values > maxExampleValues {
		n = least
	}
	turn := e.turn
	defer func() { e.turn = turn }()
	for i := range min(n, maxExampleItems) {
		if differ {
			e.turn = turn + i
		}
		if !add() {
			return i >= least
		}
	}
	return least <= maxExampleItems
}

func (e *exampler) array(s *object, name string) (any, bool) {
	items, _ := s.get("items").(*object)
	l := list{}
	ok := e.elements(toInt(s.get("minItems"), 0), s.get("uniqueItems") == true, func() bool {
		if items == nil || len(l) >= toInt(s.get("maxItems"), maxExampleItems) {
			return false
		}
		v, ok := e.value(items, name)
		if ok = ok && e.valid(items, v, 0); ok {
			l = append(l, v)
		}
		return ok
	})
	return l, ok
}

// entries are those of a map.
func (e *exampler) entries(s, values *object, name string) (any, bool) {
	keys, _ := s.get("propertyNames").(*object)
	if keys == nil {
		keys = obj("type", "string")
	}
	o := &object{}
	ok := e.elements(toInt(s.get("minProperties"), 0), true, func() bool {
		key, made := e.value(keys, "key")
		text, is := key.(string)
		v, ok := e.value(values, name)
		if ok = ok && made && is && !o.has(text) && len(o.keys) < toInt(s.get("maxProperties"), maxExampleItems) && e.valid(values, v, 0); ok {
			o.put(text, v)
		}
		return ok
	})
	return o, ok
}

// object makes an object that keeps the rules of its message.
func (e *exampler) object(s *object) (any, bool) {
	judged := e.judged(s)
	if judged && len(s.of.without) > 0 {
		return e.whole(s)
	}
	v, ok := e.members(s)
	if o, is := v.(*object); ok && is && judged {
		return e.settled(s, o)
	}
	return v, ok
}

// members makes the members of an object, one of each oneof.
func (e *exampler) members(s *object) (any, bool) {
	o := &object{}
	properties, _ := s.get("properties").(*object)
	required, _ := s.get("required").(list)
	if properties == nil {
		return o, len(required) == 0
	}
	oneofs, set := oneofsOf(s), map[string]bool{}
	for i, name := range properties.keys {
		property, _ := properties.values[i].(*object)
		demanded := slices.Contains(required, any(name))
		if property == nil || e.hides(property) || !demanded && (set[oneofs[name]] || e.values > maxExampleValues) {
			continue
		}
		v, ok := e.value(property, name)
		switch {
		case ok && e.valid(property, v, 0):
			o.put(name, v)
			set[oneofs[name]] = oneofs[name] != ""
		case demanded:
			return nil, false
		}
	}
	return o, true
}

// hides reports whether a member is not there in what is sent one way.
func (e *exampler) hides(property *object) bool {
	return e.hidden != "" && property.get(e.hidden) == true
}

// oneofsOf names the oneof of each member that is of one.
func oneofsOf(s *object) map[string]string {
	of := map[string]string{}
	if oneofs, ok := s.get("x-oneof").(*object); ok {
		for i, v := range oneofs.values {
			names, _ := v.(list)
			for _, name := range names {
				text, _ := name.(string)
				of[text] = oneofs.keys[i]
			}
		}
	}
	return of
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
