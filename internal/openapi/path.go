package openapi

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// pathMaker writes a template as a path of OpenAPI.
type pathMaker struct {
	writer     *writer
	route      *described
	text       strings.Builder
	parameters []*object
	names      map[string]bool
}

// path is the path of a route and its parameters (Surface 208).
func (w *writer) path(r *described) (string, []*object) {
	m := &pathMaker{writer: w, route: r, names: map[string]bool{}}
	t := r.Template
	for i := 0; i < len(t.Segments); i++ {
		v := slices.IndexFunc(t.Variables, func(v httprule.Variable) bool { return v.First == i })
		if v < 0 {
			m.segment(t.Segments, i, "", nil)
			continue
		}
		m.variable(v)
		i = t.Variables[v].Last
	}
	if len(t.Segments) == 0 {
		m.text.WriteByte('/')
	}
	if t.Verb != "" {
		m.text.WriteString(":" + url.PathEscape(t.Verb))
	}
	return m.text.String(), m.parameters
}

// variable writes a variable: one parameter for one segment, else one for each wildcard of
// its own template.
func (m *pathMaker) variable(v int) {
	t := m.route.Template
	of, field := t.Variables[v], m.route.Variables[v]
	if single := of.First == of.Last && t.Segments[of.First].Kind == httprule.Single; single || m.writer.api.TemplatePaths {
		p := m.parameter(m.name(m.fieldName(field)), commentOf(field.Descriptor()).whole())
		schema, _ := m.writer.schemas.ruled(field.Descriptor(), m.writer.schemas.fieldValue(field.Descriptor(), m.route.form), m.route.form)
		m.writer.applyParameter(p, schema, field.Descriptor())
		schema = asText(schema)
		if !single {
			if !schema.has("pattern") && schema.get("type") == "string" {
				schema = schema.clone()
				schema.put("pattern", segmentsPattern(t.Segments[of.First:of.Last+1]))
			}
			p.put("x-multi-segment", true)
			if m.writer.is32() {
				p.put("allowReserved", true)
			}
		}
		p.put("schema", schema)
		return
	}
	named := resourceNames(field.Descriptor(), m.route.Method.Descriptor, t.Segments[of.First:of.Last+1])
	for i := of.First; i <= of.Last; i++ {
		name := ""
		if named != nil {
			name = named[i-of.First]
		}
		m.segment(t.Segments, i, name, field)
	}
	if of.First == of.Last && t.Segments[of.First].Kind == httprule.Deep {
		last := m.parameters[len(m.parameters)-1] // the whole field
		last.remove("description")
		last.set("description", commentOf(field.Descriptor()).whole())
	}
}

// segmentsPattern is what the text of a variable looks like.
func segmentsPattern(segments []httprule.Segment) string {
	var parts []string
	for _, s := range segments {
		switch s.Kind {
		case httprule.Single:
			parts = append(parts, "[^/]+")
		case httprule.Deep:
			parts = append(parts, ".*")
		default:
			parts = append(parts, regexp.QuoteMeta(s.Text))
		}
	}
	return "^" + strings.Join(parts, "/") + "$"
}

// fieldName is the name of a parameter that is a whole field. Dots are for many tools no part
// of such a name.
func (m *pathMaker) fieldName(field *jsonwire.Field) string {
	for _, f := range m.writer.fragments(field.Descriptor()) {
		configuration, _ := f.get("fieldConfiguration").(*object)
		if name, _ := configuration.get("pathParamName").(string); name != "" && !strings.ContainsAny(name, "{}/?#") {
			return name
		}
	}
	name := m.writer.schemas.fieldPath(field.Path(), m.route)
	if m.writer.api.GRPCGateway {
		return name
	}
	return strings.ReplaceAll(name, ".", "_")
}

// segment writes one segment. name is that of its wildcard, "" for one made of the segment
// before; field is what it is a part of, nil for none.
func (m *pathMaker) segment(all []httprule.Segment, i int, name string, field *jsonwire.Field) {
	if all[i].Kind == httprule.Literal {
		m.text.WriteString("/" + url.PathEscape(all[i].Text))
		return
	}
	switch {
	case name != "":
	case all[i].Kind == httprule.Deep && field != nil:
		name = m.fieldName(field)
	case i > 0 && all[i-1].Kind == httprule.Literal:
		name = singular(all[i-1].Text)
	default:
		name = "segment"
	}
	about := "Any text; the method does not see it."
	if field != nil {
		about = fmt.Sprintf("A part of the field `%s`.", field.Path())
		if text := commentOf(field.Descriptor()).whole(); text != "" {
			about += "\n\n" + text
		}
	}
	p := m.parameter(m.name(name), about)
	p.put("schema", obj("type", "string"))
	if all[i].Kind != httprule.Deep {
		return
	}
	p.put("x-multi-segment", true)
	if m.writer.is32() {
		p.put("allowReserved", true)
	}
}

// name makes a name one of its own in the path.
func (m *pathMaker) name(name string) string {
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || strings.ContainsRune("{}/?#%", r) {
			return '_' // it would end the name, or the path
		}
		return r
	}, name)
	unique := name
	for n := 2; m.names[unique]; n++ {
		unique = name + "_" + strconv.Itoa(n)
	}
	m.names[unique] = true
	return unique
}

// parameter adds a parameter of the path.
func (m *pathMaker) parameter(name, description string) *object {
	m.text.WriteString("/{" + name + "}")
	p := obj("name", name, "in", "path", "description", description, "required", true)
	m.parameters = append(m.parameters, p)
	return p
}

// singular makes the name of one element of the name of a collection.
func singular(collection string) string {
	var b strings.Builder
	for _, r := range collection {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.'
		if !letter {
			r = '_'
		}
		b.WriteRune(r)
	}
	name := b.String()
	for _, rule := range [][2]string{{"ies", "y"}, {"lves", "lf"}, {"sses", "ss"}, {"ches", "ch"}, {"shes", "sh"}, {"xes", "x"}, {"ss", "ss"}, {"us", "us"}, {"s", ""}} {
		if stem, ok := strings.CutSuffix(name, rule[0]); ok && stem != "" {
			return stem + rule[1]
		}
	}
	return name
}

// resourceNames are the names that a google.api.resource gives to the wildcards of a
// variable; nil where none has a pattern like it.
func resourceNames(field protoreflect.FieldDescriptor, method protoreflect.MethodDescriptor, segments []httprule.Segment) []string {
	reference, _ := schema.Option(field, annotations.E_ResourceReference).(*annotations.ResourceReference)
	candidates := []protoreflect.MessageDescriptor{field.ContainingMessage(), method.Output()}
	inFile := field.ParentFile().Messages()
	for i := range inFile.Len() {
		candidates = append(candidates, inFile.Get(i))
	}
	for _, message := range candidates {
		resource, _ := schema.Option(message, annotations.E_Resource).(*annotations.ResourceDescriptor)
		if resource == nil || message != field.ContainingMessage() && resource.GetType() != reference.GetType() {
			continue
		}
		for _, pattern := range resource.GetPattern() {
			if names := matchPattern(strings.Split(pattern, "/"), segments); names != nil {
				return names
			}
		}
	}
	return nil
}

// matchPattern is the names of a pattern's variables at the places of segments; nil where
// it is another path.
func matchPattern(pattern []string, segments []httprule.Segment) []string {
	if len(pattern) != len(segments) {
		return nil
	}
	names := make([]string, len(segments))
	for i, part := range pattern {
		variable := strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}")
		switch {
		case segments[i].Kind == httprule.Deep, variable != (segments[i].Kind == httprule.Single), !variable && part != segments[i].Text:
			return nil
		case variable:
			names[i] = strings.Trim(part, "{}")
		}
	}
	return names
}

// pathItems are the paths of a document.
type pathItems struct {
	items   []*pathItem
	byShape map[string]*pathItem
}

// pathItem is one path with its operations by method.
type pathItem struct {
	path       string
	operations map[string]*placed
	order      []*placed
}

// placed is an operation with its own form of the path.
type placed struct {
	path      string
	operation *object
}

// fixedMethods are those that have a place of their own in a path item.
var fixedMethods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// add adds an operation. Paths that differ in the names of their parameters alone are one
// (Surface 209).
func (p *pathItems) add(path, method string, operation *object) {
	_, shape := pathNames(path)
	item := p.byShape[shape]
	if item == nil {
		item = &pathItem{operations: map[string]*placed{}}
		p.items = append(p.items, item)
		p.byShape[shape] = item
	}
	if item.operations[method] != nil {
		id, _ := operation.get("operationId").(string)
		p.add(path+"#"+id, method, operation)
		return
	}
	o := &placed{path, operation}
	item.operations[method], item.order = o, append(item.order, o)
}

// operation is the one at a path, or at one that OpenAPI takes for the same; nil for none.
func (p *pathItems) operation(path, method string) *object {
	_, shape := pathNames(path)
	if item := p.byShape[shape]; item != nil && item.operations[method] != nil {
		return item.operations[method].operation
	}
	return nil
}

// settle gives the path the names that most of its operations have, and of these the
// first.
func (p *pathItem) settle() {
	count := map[string]int{}
	for _, o := range p.order {
		count[o.path]++
	}
	for _, o := range p.order {
		if count[o.path] > count[p.path] {
			p.path = o.path
		}
	}
	to, _ := pathNames(p.path)
	for _, o := range p.order {
		if from, _ := pathNames(o.path); o.path != p.path {
			rename(o.operation, from, to)
			o.operation.put("x-transom-alias", texts(from))
		}
	}
}

// pathNames are the names of a path's parameters, and the path without them.
func pathNames(path string) (names []string, shape string) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(path, "{")
		b.WriteString(before)
		if !ok {
			return names, b.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		names, path = append(names, name), after
		b.WriteString("{}")
	}
}

// rename gives the parameters of a path other names.
func rename(operation *object, from, to []string) {
	parameters, _ := operation.get("parameters").(list)
	renamed := slices.Clone(parameters)
	for i, p := range renamed {
		parameter, _ := p.(*object)
		if parameter == nil || parameter.get("in") != "path" {
			continue
		}
		name, _ := parameter.get("name").(string)
		if at := slices.Index(from, name); at >= 0 {
			parameter = parameter.clone()
			parameter.put("name", to[at])
			renamed[i] = parameter
		}
	}
	operation.set("parameters", renamed)
}

// object is the paths in their order.
func (p *pathItems) object() *object {
	for _, item := range p.items {
		item.settle()
	}
	slices.SortFunc(p.items, func(a, b *pathItem) int { return strings.Compare(a.path, b.path) })
	paths := &object{}
	for _, item := range p.items {
		paths.add(item.path, item.object())
	}
	return paths
}

// object is the item. A method of its own name has no place in OpenAPI 3.1.
func (p *pathItem) object() *object {
	o := &object{}
	for _, method := range fixedMethods {
		if at := p.operations[method]; at != nil {
			o.add(method, at.operation)
		}
	}
	var others []string
	for method := range p.operations {
		if !slices.Contains(fixedMethods, method) {
			others = append(others, method)
		}
	}
	slices.Sort(others)
	for _, method := range others {
		o.at("x-transom-operations").put(strings.ToUpper(method), p.operations[method].operation)
	}
	return o
}
