package openapi

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// maxTrials is how many other values are tried of one message, and maxAllTrials of a document, so
	// that its rules, which anybody may have written, cost no more than that.
	maxTrials, maxAllTrials = 200, 10_000
	// maxRounds is how often the members of a message are gone through.
	maxRounds = 6
	// maxOthers bounds the other values of one member.
	maxOthers = 40
)

// madeOf is what the schema of a message was made of.
type madeOf struct {
	message protoreflect.MessageDescriptor
	form    form
	// without are the paths of fields that are left out, as the path of the request sets them.
	without []string
}

// judged reports whether a schema is of a message with rules that no schema has.
func (e *exampler) judged(s *object) bool {
	return s.of != nil && s.of.form.rules && !e.lax && e.writer.judge.of(s.of.message) != nil
}

// unbroken reports whether a value of a message breaks no rule that no schema has.
func (e *exampler) unbroken(s *object, v any) bool {
	o, ok := v.(*object)
	return !ok || !e.judged(s) || e.writer.judge.broken(s.of.message, o, nil) == 0
}

// breaks reports whether a value of a component, or of a field of it, breaks a rule that no schema has.
func (c *component) breaks(j *judge, field string, v any) bool {
	if c == nil || !c.form.rules {
		return false
	}
	m, ok := c.of.(protoreflect.MessageDescriptor)
	if !ok || !j.below(m) {
		return false
	}
	if field == "" {
		o, ok := v.(*object)
		return ok && j.broken(m, o, nil) > 0
	}
	for i := range m.Fields().Len() {
		if d := m.Fields().Get(i); fieldName(d, c.form) == field {
			return j.broken(m, obj(field, v), d) > 0
		}
	}
	return false
}

// whole is a value of a message without what the path sets, which its rules may ask for: it is that of
// the whole message, and the rest is taken away.
func (e *exampler) whole(s *object) (any, bool) {
	reference, _ := e.writer.schemas.reference(s.of.message, s.of.form).get("$ref").(string)
	v, ok := e.object(e.writer.component(reference))
	o, is := v.(*object)
	if !ok || !is {
		return nil, false
	}
	o = o.clone()
	for _, path := range s.of.without {
		takeAway(o, s.of.message, path, s.of.form)
	}
	return o, true
}

// takeAway removes what a path of proto names leads to.
func takeAway(o *object, m protoreflect.MessageDescriptor, path string, in form) {
	name, rest, below := strings.Cut(path, ".")
	field := m.Fields().ByName(protoreflect.Name(name))
	if field == nil {
		return
	}
	key := fieldName(field, in)
	inner, ok := o.get(key).(*object)
	switch {
	case !below:
		o.remove(key)
	case ok:
		inner = inner.clone()
		takeAway(inner, field.Message(), rest, in)
		o.put(key, inner)
	}
}

// settled is a value of a message that breaks none of its rules in CEL: the given one, or one that differs
// from it in a member or a few; false where none was found (Surface 226).
func (e *exampler) settled(s, o *object) (any, bool) {
	w := e.writer
	key := string(s.of.message.FullName()) + s.of.form.suffix(form{}) + e.hidden + string(appendJSON(nil, o, 0))
	if found, known := w.settled[key]; known {
		return found, found != nil
	}
	v := &variation{exampler: e, schema: s, best: o, left: maxTrials}
	v.verdict = w.judge.judge(s.of.message, o, nil)
	for range maxRounds { // a change may need another before it
		if before := v.broken; v.broken == 0 || !v.round() || v.broken == before {
			break
		}
	}
	if v.broken > 0 {
		v.best = nil
	}
	w.settled[key] = v.best
	return v.best, v.best != nil
}

// variation looks for a value that breaks no rule, by changing one member after the other.
type variation struct {
	*exampler
	schema, best *object
	verdict
	left int
}

// round tries others of each member, first of those that are to blame, and reports whether there may be
// more to try.
func (v *variation) round() bool {
	properties, _ := v.schema.get("properties").(*object)
	if properties == nil {
		return false
	}
	tried := map[string]bool{}
	for _, blamed := range []bool{true, false} {
		for i, name := range properties.keys {
			property, _ := properties.values[i].(*object)
			if property == nil || v.hides(property) || tried[name] || blamed && !v.blames(name) {
				continue
			}
			tried[name] = true
			if !v.vary(property, name) {
				return false
			}
		}
	}
	return true
}

// blames reports whether a member may have to change.
func (v *variation) blames(name string) bool {
	for field := range v.blamed {
		if d := v.schema.of.message.Fields().ByName(field); d != nil && fieldName(d, v.schema.of.form) == name {
			return true
		}
	}
	return false
}

// vary tries others of a member until one breaks less, and reports whether there may be more to try.
func (v *variation) vary(property *object, name string) bool {
	for _, other := range v.others(property, name, v.best.get(name)) {
		if v.left == 0 || v.writer.trials >= maxAllTrials {
			return false
		}
		if v.valid(property, other, 0) && v.try(v.with(name, other)) {
			return v.broken > 0
		}
	}
	if v.try(v.with(name, nil)) {
		return v.broken > 0
	}
	if zero := empty(v.best.get(name)); zero != nil && v.valid(property, zero, 0) {
		v.try(v.with(name, zero))
	}
	return v.broken > 0
}

// empty is the value of a kind that holds nothing; nil where that kind has none.
func empty(v any) any {
	switch v.(type) {
	case string:
		return ""
	case list:
		return list{}
	case *object:
		return &object{}
	}
	return nil
}

// with is the best so far with another value of a member, nil for none; what excludes it goes.
func (v *variation) with(name string, value any) *object {
	o := v.best.clone()
	if value == nil {
		o.remove(name)
		return o
	}
	oneofs := oneofsOf(v.schema)
	for _, key := range slices.Clone(o.keys) {
		if key != name && oneofs[key] != "" && oneofs[key] == oneofs[name] {
			o.remove(key)
		}
	}
	o.put(name, value)
	return o
}

// try keeps a value that is valid and breaks less, and reports whether it is one.
func (v *variation) try(o *object) bool {
	if !v.valid(v.schema, o, 0) {
		return false
	}
	v.left--
	v.writer.trials++
	found := v.writer.judge.judge(v.schema.of.message, o, nil)
	if found.broken >= v.broken {
		return false
	}
	v.best, v.verdict = o, found
	return true
}

// others are values of a member that rules may ask for in place of the one that it has.
func (v *variation) others(property *object, name string, now any) list {
	rules := v.writer.judge.of(v.schema.of.message)
	target := property
	if reference, ok := property.get("$ref").(string); ok {
		target = v.writer.component(reference)
	}
	if target == nil {
		return nil
	}
	if values, ok := target.get("enum").(list); ok {
		return values[:min(len(values), maxOthers)]
	}
	var all list
	if now == nil {
		e := &exampler{writer: v.writer, hidden: v.hidden, within: v.within}
		if made, ok := e.value(property, name); ok {
			all, now = append(all, made), made
		}
	}
	switch value := now.(type) {
	case bool:
		all = append(all, !value)
	case string:
		all = append(all, otherTexts(target, name, value, rules)...)
	case list:
		all = append(all, v.otherLists(target, name, value)...)
	case *object:
		all = append(all, v.otherObjects(target, value)...)
	default:
		all = append(all, otherNumbers(now, rules, func(f string) any { return number(f) })...)
	}
	return all[:min(len(all), maxOthers)]
}

// otherNumbers are the numbers of rules, those beside them, and those beside the one that there is.
func otherNumbers(now any, rules *exprRules, as func(string) any) (all list) {
	add := func(f float64) { all = append(all, as(strconv.FormatFloat(f, 'f', -1, 64))) }
	for _, text := range rules.numbers {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			add(f)
			add(f + 1)
			add(f - 1)
			add(-f)
		}
	}
	f, _ := toFloat(now)
	for _, step := range []float64{1, 2, -1, 10, 100} {
		add(f + step)
	}
	return all
}

// otherLists have other elements, or more.
func (v *variation) otherLists(s *object, name string, now list) (all list) {
	items, _ := s.get("items").(*object)
	if items == nil {
		return nil
	}
	sizes := []int{2, 3}
	for _, text := range v.writer.judge.of(v.schema.of.message).numbers {
		if n, err := strconv.Atoi(text); err == nil && n <= maxExampleItems {
			sizes = append(sizes, n, n+1)
		}
	}
	for _, n := range sizes {
		more := list{}
		for i := range n {
			e := &exampler{writer: v.writer, hidden: v.hidden, within: v.within, turn: i}
			if item, ok := e.value(items, name); ok {
				more = append(more, item)
			}
		}
		all = append(all, more)
	}
	if len(now) > 0 {
		for _, other := range v.others(items, name, now[0]) {
			all = append(all, list{other})
		}
	}
	return all
}

// otherObjects have one other member, or, of a map, another key or value.
func (v *variation) otherObjects(s *object, now *object) (all list) {
	properties, _ := s.get("properties").(*object)
	values, isMap := s.get("additionalProperties").(*object)
	for i, key := range now.keys {
		property, _ := properties.get(key).(*object)
		if isMap {
			property = values
			for _, text := range v.writer.judge.of(v.schema.of.message).texts {
				all = append(all, obj(text, now.values[i]))
			}
		}
		if property == nil || property.has("$ref") {
			continue
		}
		for _, other := range v.others(property, key, now.values[i]) {
			o := now.clone()
			o.put(key, other)
			all = append(all, o)
		}
	}
	return all
}
