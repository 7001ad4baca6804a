package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/nearest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxNodes bounds the values of a configuration, those of an alias counted each
// time it is used.
const maxNodes = 100_000

// maxProblems bounds what is reported: nobody reads on, and each may be as long
// as a path.
const maxProblems = 1000

// decoder turns YAML into a message. It goes on after a problem, so that all of
// them are found.
type decoder struct {
	file   *File
	env    func(string) (string, bool)
	budget int
	// open are the nodes that are being read, each within the one before.
	open     map[*yaml.Node]bool
	problems Problems
	// broken are the paths that could not be read: checks that follow say nothing
	// of them.
	broken []string
}

// fail notes a problem of the value at path.
func (d *decoder) fail(path, format string, args ...any) {
	d.add(path, d.file.problem(path, format, args...))
}

func (d *decoder) add(path string, p Problem) {
	if len(d.problems) >= maxProblems {
		d.budget = 0
		return
	}
	d.problems = append(d.problems, p)
	d.broken = append(d.broken, path)
}

// enter notes where the value at path stands and follows an alias. It answers
// nil when the configuration is too large. Each enter has its leave, which gets
// the answer.
func (d *decoder) enter(path string, n *yaml.Node) *yaml.Node {
	d.file.places[path] = place{n.Line, n.Column}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.open[n] {
		d.fail(path, "found an alias of what it stands in, expected one of something else")
		return nil
	}
	if d.budget--; d.budget == 0 {
		d.fail(path, "found more than %d values, expected fewer; are there aliases of aliases?", maxNodes)
	}
	if d.budget <= 0 {
		return nil
	}
	d.open[n] = true
	return n
}

func (d *decoder) leave(n *yaml.Node) { delete(d.open, n) }

// message reads a mapping into m.
func (d *decoder) message(path string, n *yaml.Node, m protoreflect.Message) {
	n = d.enter(path, n)
	defer d.leave(n)
	switch {
	case n == nil:
		return
	case n.Kind != yaml.MappingNode:
		d.fail(path, "found %s, expected a mapping%s", kindOf(n), orMapping(n, m.Descriptor()))
		return
	}
	seen := map[protoreflect.Name]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field := fieldByName(m.Descriptor(), key.Value)
		if field == nil || key.Kind != yaml.ScalarNode {
			d.unknown(path, key, m.Descriptor())
			continue
		}
		child := join(path, string(field.Name()))
		if seen[field.Name()] {
			d.failAt(child, key, "found a second time, expected once")
			continue
		}
		seen[field.Name()] = true
		if other := takenOneof(m, field); other != nil {
			d.failAt(child, key, "found beside %s, expected one of %s", other.Name(), names(field.ContainingOneof().Fields()))
			continue
		}
		d.field(child, value, m, field)
	}
}

// failAt is fail with the place of a key, which has none of its own yet.
func (d *decoder) failAt(path string, key *yaml.Node, format string, args ...any) {
	p := d.file.problem(path, format, args...)
	p.Line, p.Column = key.Line, key.Column
	d.add(path, p)
}

func (d *decoder) unknown(path string, key *yaml.Node, m protoreflect.MessageDescriptor) {
	if key.Kind != yaml.ScalarNode {
		d.failAt(path, key, "found %s as a key, expected a name", kindOf(key))
		return
	}
	var known []string
	for i := range m.Fields().Len() {
		known = append(known, string(m.Fields().Get(i).Name()))
	}
	child := join(path, key.Value)
	if key.Value == "<<" {
		d.failAt(child, key, "merge keys are not read; expected an alias for a whole value, or the fields themselves")
		return
	}
	if there := standsIn(path, key.Value); there != "" {
		d.failAt(child, key, "unknown field, expected one of %s; did you mean %s?", strings.Join(known, ", "), there)
		return
	}
	if near := nearest.Of(known, key.Value); near != "" {
		d.failAt(child, key, "unknown field; did you mean %q?", near)
		d.broken = append(d.broken, join(path, near))
		d.file.wrong[len(d.file.wrong)-1] = join(path, near) // what it is meant for
		return
	}
	if whole := partly(known, key.Value); whole != "" {
		d.failAt(child, key, "unknown field, expected one of %s; did you mean %q?", strings.Join(known, ", "), whole)
		return
	}
	d.failAt(child, key, "unknown field, expected one of %s", strings.Join(known, ", "))
}

// standsIn says where an unknown field of a section stands: beside policies, where a policy has the
// section's name, too, or in that policy; "" for neither.
func standsIn(path, name string) string {
	section := protoreflect.Name(path[strings.LastIndexByte(path, '.')+1:])
	for _, place := range []struct {
		of   protoreflect.MessageDescriptor
		says string
	}{
		{new(transomv1.Config).ProtoReflect().Descriptor(), ", beside policies"},
		{new(transomv1.Policy).ProtoReflect().Descriptor(), " of a policy"},
	} {
		field := place.of.Fields().ByName(section)
		if field != nil && field.Message() != nil && field.Message().Fields().ByName(protoreflect.Name(name)) != nil {
			return fmt.Sprintf("%s.%s%s", section, name, place.says)
		}
	}
	return ""
}

// partly is the only name of which another one is a part, as prefix is of path_prefix; "" for
// none.
func partly(names []string, part string) (whole string) {
	for _, name := range names {
		if !slices.Contains(strings.Split(name, "_"), part) {
			continue
		}
		if whole != "" {
			return ""
		}
		whole = name
	}
	return whole
}

// field reads the value of one field of m.
func (d *decoder) field(path string, n *yaml.Node, m protoreflect.Message, field protoreflect.FieldDescriptor) {
	switch {
	case field.IsMap():
		d.mapping(path, n, m.Mutable(field).Map(), field)
	case field.IsList():
		d.list(path, n, m.Mutable(field).List(), field)
	default:
		if v, ok := d.value(path, n, field, m.NewField(field)); ok {
			m.Set(field, v)
		}
	}
}

func (d *decoder) list(path string, n *yaml.Node, list protoreflect.List, field protoreflect.FieldDescriptor) {
	n = d.enter(path, n)
	defer d.leave(n)
	switch {
	case n == nil || isNull(n):
		return
	case n.Kind != yaml.SequenceNode:
		d.fail(path, "found %s, expected a list%s", kindOf(n), orList(n, field))
		return
	}
	for i, item := range n.Content {
		v, _ := d.value(join(path, i), item, field, list.NewElement())
		list.Append(v) // also after a problem: the indices of the others stay right
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, m protoreflect.Map, field protoreflect.FieldDescriptor) {
	n = d.enter(path, n)
	defer d.leave(n)
	switch {
	case n == nil || isNull(n):
		return
	case n.Kind != yaml.MappingNode:
		d.fail(path, "found %s, expected a mapping of names", kindOf(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], n.Content[i+1]
		name := protoreflect.ValueOfString(key.Value).MapKey()
		child := join(path, key.Value)
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			d.failAt(child, key, "found %s as a key, expected a name", kindOf(key))
			continue
		}
		if m.Has(name) {
			d.failAt(child, key, "found a second time, expected once")
			continue
		}
		v, _ := d.value(child, item, field.MapValue(), m.NewValue())
		m.Set(name, v)
	}
}

// value reads one value; fresh is an empty one of the field's type, which is
// the answer if the value cannot be read.
func (d *decoder) value(path string, n *yaml.Node, field protoreflect.FieldDescriptor, fresh protoreflect.Value) (protoreflect.Value, bool) {
	message := field.Message()
	if message != nil && message.FullName() != "google.protobuf.Duration" {
		d.message(path, n, fresh.Message())
		return fresh, true
	}
	n = d.enter(path, n)
	defer d.leave(n)
	if n == nil {
		return fresh, false
	}
	expected := expectation(field)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(path, "found %s, expected %s", kindOf(n), expected)
		return fresh, false
	}
	text, err := d.text(n.Value, field)
	if err != nil {
		d.fail(path, "%v", err)
		return fresh, false
	}
	v, ok := scalar(text, field)
	switch {
	case !ok:
		d.fail(path, "found %s, expected %s%s", quoted(text, field), expected, hint(text, field))
	case isZero(v, field) && !zeros[field.FullName()]:
		d.fail(path, "found %s, expected a number above 0; without the line the default holds", quoted(text, field))
		ok = false
	}
	if !ok {
		return fresh, false
	}
	return v, true
}

// fieldByName finds a field by its proto name or its JSON name.
func fieldByName(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByName(protoreflect.Name(name)); f != nil {
		return f
	}
	return m.Fields().ByJSONName(name)
}

// takenOneof is the member of field's oneof that is set already.
func takenOneof(m protoreflect.Message, field protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if field.ContainingOneof() == nil {
		return nil
	}
	return m.WhichOneof(field.ContainingOneof())
}

func names(fields protoreflect.FieldDescriptors) string {
	all := make([]string, fields.Len())
	for i := range all {
		all[i] = string(fields.Get(i).Name())
	}
	return strings.Join(all, ", ")
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// kindOf says what a node is, for people, without its value.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a truth value"
	}
	return "a text"
}

// orEmpty says how to write an empty message.
func orEmpty(n *yaml.Node) string {
	if isNull(n) {
		return " ({} for an empty one)"
	}
	return ""
}

// orMapping says how to write as a mapping what was written as its only value, or as true.
func orMapping(n *yaml.Node, m protoreflect.MessageDescriptor) string {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		return orEmpty(n)
	}
	if n.Tag == "!!bool" && n.Value == "true" {
		return "; did you mean {}?"
	}
	for _, name := range []protoreflect.Name{"path", "body"} {
		if f := m.Fields().ByName(name); f != nil && n.Tag == "!!str" && (name != "path" || strings.HasPrefix(n.Value, "/")) {
			return fmt.Sprintf("; did you mean { %s: %s }?", name, clipped(n.Value))
		}
	}
	return ""
}

// orList says how to write the only element of a list.
func orList(n *yaml.Node, field protoreflect.FieldDescriptor) string {
	if n.Kind == yaml.MappingNode && field.Message() != nil && len(n.Content) > 0 {
		return "; did you mean [{ … }]?"
	}
	if n.Kind == yaml.ScalarNode && field.Kind() == protoreflect.StringKind && !secretFields[field.FullName()] && n.Value != "" && len(n.Value) <= 80 {
		return fmt.Sprintf("; did you mean [%q]?", n.Value)
	}
	return ""
}

// quoted is a value for people, unless it is secret.
func quoted(text string, field protoreflect.FieldDescriptor) string {
	if secretFields[field.FullName()] {
		return "a value"
	}
	if len(text) > 80 {
		return fmt.Sprintf("%.80q…", text)
	}
	return fmt.Sprintf("%q", text)
}
