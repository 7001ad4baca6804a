package openapi

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/rpccode"
)

var (
	//go:embed page/page.css
	pageStyle string
	//go:embed page/page.js
	pageScript string
)

// PagePolicy is the Content-Security-Policy of pages: the style and the script that are in them, by
// their sums, and nothing else (Surface 247).
var PagePolicy = "default-src 'none'; style-src " + sum(pageStyle) + "; script-src " + sum(pageScript) +
	"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(s[:]) + "'"
}

// page is what pageHTML shows.
type page struct {
	Title, Version string
	Description    []string
	// Services are all of them, for the list; Service is the one whose methods are shown, nil for none.
	Services []*pageService
	Service  *pageService
	Types    []*pageType
	// Server stands before the paths of snippets.
	Server string
}

type pageService struct {
	Name, Full string
	Comment    []string
	Methods    []*pageMethod
}

type pageMethod struct {
	Name, RPC, Shape, Summary string
	Comment, Needs            []string
	Deprecated                bool
	Routes                    []pageRoute
	Parameters                []pageField
	Body, Answer              *pageValue
	Streams                   string
	Snippets                  []pageSnippet
	Errors                    []pageError
}

type pageRoute struct{ Method, Path string }

// pageField is a parameter, a field of a message, or a value of an enum.
type pageField struct {
	Name, In string
	Type     pageText
	Comment  []string
	Required bool
	// Notes are words such as "read only", and rules.
	Notes []string
}

// pageText is a type: a text, and the one of the page that it is about, if it is.
type pageText struct{ Before, Link, After string }

// pageValue is a body or an answer.
type pageValue struct {
	Type    pageText
	Fields  []pageField // of one that has no name
	Example string
}

// pageType is a message or an enum.
type pageType struct {
	Name    string
	Comment []string
	Enum    bool
	Fields  []pageField
}

// head is what the table of a type has first.
func (t *pageType) head() string {
	if t.Enum {
		return "Value"
	}
	return "Field"
}

// also is what gRPC and Connect call the method by, where no route says so.
func (m *pageMethod) also() string {
	for _, r := range m.Routes {
		if r.Path == "/"+m.RPC {
			return ""
		}
	}
	return m.RPC
}

// noServer stands for the server in examples where the configuration does not say where it is.
const noServer = "$API"

type pageSnippet struct{ Language, Text string }

type pageError struct {
	Status int
	Code   string
	About  string
}

// Page is the documentation of a service for those who call it, as HTML; without one it is a list
// of all services, or the page of the only one there is. It tells what the document tells.
func (s *Source) Page(service string, visibility []string) []byte {
	p := &page{Title: cmp.Or(s.title(s.shownRoutes(visibility)), "API"), Version: s.api.Version, Description: paragraphs(s.api.Description), Server: noServer}
	if len(s.api.Servers) > 0 {
		p.Server = strings.TrimSuffix(s.api.Servers[0], "/")
	}
	m := &pageMaker{writer: s.writer(Version31), page: p}
	m.writer.visibility = visibility
	routes := s.shownRoutes(visibility)
	m.writer.title = p.Title
	m.head(routes)
	for i := 0; i < len(routes); {
		end := i + 1
		for end < len(routes) && routes[end].Method.RPC == routes[i].Method.RPC {
			end++
		}
		m.method(routes[i:end])
		i = end
	}
	for _, of := range p.Services {
		if of.Full == service || service == "" && len(p.Services) == 1 {
			p.Service = of
		}
	}
	if p.Service != nil {
		m.details()
	}
	h := pageHTML{page: p}
	return h.write()
}

// pageMaker fills a page.
type pageMaker struct {
	writer *writer
	page   *page
	// routes are those of the methods.
	routes map[*pageMethod][]*described
	// breaks: an example of the method breaks a rule in CEL, as none was found that does not.
	breaks bool
}

// method adds a method, which routes lead to, to its service.
func (m *pageMaker) method(routes []*described) {
	d := routes[0].Method.Descriptor
	service := d.Parent()
	full := string(service.FullName())
	at := slices.IndexFunc(m.page.Services, func(s *pageService) bool { return s.Full == full })
	if at < 0 {
		at = len(m.page.Services)
		m.page.Services = append(m.page.Services, &pageService{Name: routes[0].tag, Full: full, Comment: paragraphs(m.writer.aboutService(routes[0]))})
	}
	about := m.writer.aboutMethod(routes[0])
	summary, _ := about.get("summary").(string)
	rest, _ := about.get("description").(string)
	made := &pageMethod{
		Name: string(d.Name()), RPC: routes[0].Method.RPC, Summary: summary, Comment: paragraphs(summary + "\n\n" + rest), Deprecated: about.get("deprecated") == true,
		Shape: routes[0].shape(),
	}
	m.page.Services[at].Methods = append(m.page.Services[at].Methods, made)
	if m.routes == nil {
		m.routes = map[*pageMethod][]*described{}
	}
	m.routes[made] = routes
	for _, r := range routes {
		made.Routes = append(made.Routes, pageRoute{strings.Replace(r.HTTPMethod, "*", "ANY", 1), r.Template.String()})
	}
	// Rules come before the method's own path, which all methods have.
	slices.SortStableFunc(made.Routes, func(a, b pageRoute) int { return cmp.Compare(own(a, made), own(b, made)) })
}

// shape says who streams; "" for nobody.
func (r *described) shape() string {
	switch shape := r.Method.Shape; {
	case shape.ClientStreams && shape.ServerStreams:
		return "both sides stream"
	case shape.ClientStreams:
		return "the client streams"
	case shape.ServerStreams:
		return "the server streams"
	}
	return ""
}

func own(r pageRoute, of *pageMethod) int {
	if r.Path == "/"+of.RPC {
		return 1
	}
	return 0
}

// details says all of the methods of the service that is shown, and of the types that they need.
func (m *pageMaker) details() {
	for _, method := range m.page.Service.Methods {
		routes := m.routes[method]
		r := routes[0]
		for _, other := range routes {
			if other.Template.String() != other.Method.Path {
				r = other // a rule, not the method's own path
				break
			}
		}
		m.detail(method, r)
	}
	components := m.writer.schemas.components()
	if components == nil {
		return
	}
	for i, name := range components.keys {
		if o, ok := components.values[i].(*object); ok {
			m.page.Types = append(m.page.Types, m.named(name, o))
		}
	}
}

// detail says all of a method, as a route has it.
func (m *pageMaker) detail(method *pageMethod, r *described) {
	path, inPath := m.writer.path(r)
	for _, p := range m.writer.parameters(r, inPath) {
		if o, ok := p.(*object); ok {
			method.Parameters = append(method.Parameters, m.parameter(o))
		}
	}
	if (r.WholeBody || r.BodyField != nil) && !r.RawBody {
		method.Body = m.value(m.writer.bodySchema(r), "readOnly")
	}
	if !r.RawAnswer {
		method.Answer = m.value(m.writer.answerSchema(r), "writeOnly")
	}
	method.Needs, method.Streams = r.needs(), r.streams()
	guarded := r.guarded()
	for _, refused := range guarded.refusals() {
		method.Errors = append(method.Errors, pageError{refused.status, words(refused.name), refused.about})
	}
	method.Snippets = m.snippets(r, path, method)
	if m.breaks {
		method.Needs = append(method.Needs, "The examples do not keep all rules of the messages: a rule in CEL asks for other values.")
		m.breaks = false
	}
}

// words are those of a name such as TooManyRequests, without a status that it ends with.
func words(name string) string {
	name = strings.TrimRight(name, "0123456789")
	var b strings.Builder
	for i, c := range name {
		if i > 0 && c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	if upper := strings.ToUpper(b.String()); slices.Contains(rpccode.Names(), upper) {
		return upper
	}
	return ""
}

// paragraphs are those of a text, which is shown as it is: it is no markup.
func paragraphs(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return strings.Split(strings.TrimSpace(text), "\n\n")
}

// parameter is one of the path or the query.
func (m *pageMaker) parameter(o *object) pageField {
	name, _ := o.get("name").(string)
	in, _ := o.get("in").(string)
	schema, _ := o.get("schema").(*object)
	f := m.field(name, schema)
	f.In = in
	if text, ok := o.get("description").(string); ok {
		f.Comment = paragraphs(text)
	}
	f.Required = o.get("required") == true
	return f
}

// field is a field by its schema.
func (m *pageMaker) field(name string, schema *object) pageField {
	if schema == nil {
		schema = &object{}
	}
	f := pageField{Name: name, Type: typeText(schema), Notes: notes(schema)}
	if text, ok := schema.get("description").(string); ok {
		f.Comment = paragraphs(text)
	}
	return f
}

// fields are those of an object.
func (m *pageMaker) fields(schema *object) (list []pageField) {
	properties, _ := schema.get("properties").(*object)
	if properties == nil {
		return nil
	}
	for i, name := range properties.keys {
		property, _ := properties.values[i].(*object)
		f := m.field(name, property)
		f.Required = contains(schema.get("required"), name)
		list = append(list, f)
	}
	return list
}

func contains(of any, name string) bool {
	l, _ := of.(list)
	return slices.Contains(l, any(name))
}

// named is a type that has a name.
func (m *pageMaker) named(name string, schema *object) *pageType {
	t := &pageType{Name: name, Fields: m.fields(schema)}
	if text, ok := schema.get("description").(string); ok {
		t.Comment = paragraphs(text)
	}
	values, ok := schema.get("enum").(list)
	if !ok {
		return t
	}
	t.Enum = true
	about, _ := schema.get("x-enum-descriptions").(list)
	names, _ := schema.get("x-enum-varnames").(list)
	for i, v := range values {
		f := pageField{Name: shown(v)}
		if i < len(names) {
			f.Notes = []string{shown(names[i])}
		}
		if i < len(about) {
			f.Comment = paragraphs(shown(about[i]))
		}
		t.Fields = append(t.Fields, f)
	}
	return t
}

// value is a body or an answer.
func (m *pageMaker) value(schema *object, hidden string) *pageValue {
	return &pageValue{Type: typeText(schema), Fields: m.fields(schema), Example: m.example(schema, hidden)}
}

// example is one of a schema, without the members that are not there the one way.
func (m *pageMaker) example(schema *object, hidden string) string {
	v, ok := (&exampler{writer: m.writer, hidden: hidden}).value(schema, "")
	if !ok {
		v, ok = (&exampler{writer: m.writer, hidden: hidden, lax: true}).value(schema, "")
		m.breaks = m.breaks || ok
	}
	if !ok {
		v = &object{}
	}
	return string(appendJSON(nil, v, 0))
}

// shown is a value as text.
func shown(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return scalar(v)
}
