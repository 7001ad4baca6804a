// Package openapi describes an API as an OpenAPI document, made of descriptors, of the
// routes that there are and of the policies that hold for them. It serves nothing, and
// knows no gateway.
//
//	document, remarks := openapi.New(api).Document(openapi.Options{Version: openapi.Version32})
//	bytes := document.JSON()
//
// The same API has the same bytes, each time.
package openapi

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// The versions of OpenAPI that documents can have.
const (
	Version31 = "3.1"
	Version32 = "3.2"
)

// API is what a document describes.
type API struct {
	// Title and Version are those of the API, without a title it is that of its packages. Description may be empty.
	Title, Version, Description string
	// Titled and Versioned: the configuration says so, and options of protos do not change it.
	Titled, Versioned bool
	// Servers are URLs of the gateway; none: "/".
	Servers []string
	// JSON is how answers are written where a route's own policies say nothing else.
	JSON jsonwire.Output
	// Unchecked: the rules of fields do not hold where a route's own policies say nothing else.
	Unchecked bool
	// Routes in any order.
	Routes []Route
	// Plain are the routes of plain HTTP, in the order of the configuration.
	Plain []Plain
	// Extensions finds those of options, such as predefined rules; nil for those of the program alone.
	Extensions protoregistry.ExtensionTypeResolver
	// Auth is how callers prove who they are, as far as it is the same for all methods.
	Auth *transomv1.AuthConfig
	// GRPCGateway: names and paths are those of protoc-gen-openapiv2.
	GRPCGateway bool
	// ShortNames: schemas have the shortest names that are unique; QualifiedNames: full ones, whatever
	// GRPCGateway says. TemplatePaths: a variable is one
	// parameter, whatever its template is. ExactOneofs: schemas refuse two members of a oneof.
	ShortNames, QualifiedNames, TemplatePaths, ExactOneofs bool
	// Errors says which errors operations have.
	Errors transomv1.OpenApi_Errors
}

// Route is one way to call a method.
type Route struct {
	transcoder.Description
	// Policy are the policies that hold; never nil.
	Policy *transomv1.Policy
	// Validator checks the rules of the request's fields, which it has compiled; nil: the gateway does not check them.
	Validator protovalidate.Validator
}

// Options say which document of an API is asked for.
type Options struct {
	// Version is Version31, which "" stands for, or Version32.
	Version string
	// Service is the full name of the only service to describe; "" for all.
	Service string
	// Packages are those whose services are described; none for all.
	Packages []string
	// Visibility are the restrictions of google.api visibility that the document shows.
	Visibility []string
}

// has reports whether the document is to have a service.
func (o *Options) has(service protoreflect.Descriptor) bool {
	if o.Service != "" && string(service.FullName()) != o.Service {
		return false
	}
	return len(o.Packages) == 0 || slices.Contains(o.Packages, string(service.ParentFile().Package()))
}

// Document is an OpenAPI document.
type Document struct{ root *object }

// JSON is the document as JSON.
func (d *Document) JSON() []byte { return append(appendJSON(nil, d.root, 0), '\n') }

// YAML is the document as YAML.
func (d *Document) YAML() []byte { return appendYAML(nil, d.root, 0) }

// Source makes the documents of one API. It is not safe for concurrent use.
type Source struct {
	api    *API
	routes []*described
	// shared are the short names that several services have.
	shared map[protoreflect.Name]bool
	// fragments are what options say, by element.
	fragments map[protoreflect.Descriptor]*fragmentsOf
	// names are those of schemas, by full name; nil before they are needed.
	names map[string]string
	// compiled is shared, as rules take long to compile.
	compiled *compiledRules
	// ids are the operationIds of routes and of what follows from these, repeated those that options
	// give to two methods, and remarks are of others.
	ids      map[string]bool
	repeated []Repeated
	remarks  []Remark
}

// described is a route with what is the same in all documents.
type described struct {
	*Route
	id   string // operationId
	tag  string
	form form
	// connect: it is the method's own path, which speaks Connect.
	connect bool
}

// New makes the documents' source of an API, which must not change any more.
func New(api *API) *Source {
	s := &Source{api: api, compiled: newCompiledRules(api), shared: map[protoreflect.Name]bool{}, fragments: map[protoreflect.Descriptor]*fragmentsOf{}}
	first := map[protoreflect.Name]protoreflect.FullName{}
	for i := range api.Routes {
		r := &api.Routes[i]
		service := r.Method.Descriptor.Parent()
		if other, ok := first[service.Name()]; ok && other != service.FullName() {
			s.shared[service.Name()] = true
		}
		first[service.Name()] = service.FullName()
		d := &described{Route: r, connect: r.Template.String() == r.Method.Path && r.Method.Shape.Unary()}
		json := r.Method.Settings.JSON
		if d.connect {
			json = r.Method.Settings.ConnectJSON
		}
		d.form = formOf(json, r.Policy.GetValidate().GetDisabled())
		s.routes = append(s.routes, d)
	}
	slices.SortStableFunc(s.routes, func(a, b *described) int { return strings.Compare(a.Method.RPC, b.Method.RPC) })
	s.name()
	return s
}

// serviceName is the service's name in tags and operationIds: the short one where no other
// service has it.
func (s *Source) serviceName(service protoreflect.Descriptor) string {
	if s.shared[service.Name()] {
		return string(service.FullName())
	}
	return string(service.Name())
}

// Services lists the services of packages, or of all where none is named, that have routes which
// restrictions show, by full name.
func (s *Source) Services(visibility, packages []string) []string {
	var names []string
	o := Options{Packages: packages}
	for _, r := range s.shownRoutes(visibility) { // in the order of services
		service := r.Method.Descriptor.Parent()
		if name := string(service.FullName()); o.has(service) && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Packages lists the packages of services that have routes which restrictions show.
func (s *Source) Packages(visibility []string) []string {
	var names []string
	for _, r := range s.shownRoutes(visibility) {
		names = append(names, string(r.Method.Descriptor.ParentFile().Package()))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// shownRoutes are the routes that a document has which shows restrictions.
func (s *Source) shownRoutes(visibility []string) []*described {
	w := &writer{visibility: visibility}
	return slices.DeleteFunc(slices.Clone(s.routes), func(r *described) bool { return !w.showsRoute(r) })
}

// Document makes a document, and says what of the protos is not in it.
func (s *Source) Document(o Options) (*Document, []Remark) {
	w := s.writer(cmp.Or(o.Version, Version31))
	w.visibility = o.Visibility
	var routes []*described
	for _, r := range s.shownRoutes(o.Visibility) {
		if o.has(r.Method.Descriptor.Parent()) {
			routes = append(routes, r)
		}
	}
	w.title = s.title(routes)
	if len(o.Packages) > 0 && !s.api.Titled {
		w.title = strings.Join(o.Packages, ", ")
	}
	return &Document{w.document(routes, o.Service == "" && len(o.Packages) == 0)}, w.remarks
}

// title is that of the API, or the names of the few packages of the routes that are shown.
func (s *Source) title(routes []*described) string {
	const most = 3
	var names []string
	for _, r := range routes {
		if name := string(r.Method.Descriptor.ParentFile().Package()); s.api.Title == "" && !slices.Contains(names, name) && len(names) <= most {
			names = append(names, name)
		}
	}
	if len(names) > most {
		return ""
	}
	slices.Sort(names)
	return cmp.Or(s.api.Title, strings.Join(names, ", "))
}

func (s *Source) writer(version string) *writer {
	w := &writer{
		source: s, api: s.api, version: version, schemas: newSchemas(formOf(s.api.JSON, s.api.Unchecked)), paths: pathItems{byShape: map[string]*pathItem{}},
		schemes: map[string]*object{}, refused: map[string]*object{}, errors: map[string]*object{}, bodies: map[string]*object{}, remarks: slices.Clone(s.remarks),
		patterns: map[string]*regexp.Regexp{}, tagged: map[any]bool{}, settled: map[string]*object{}, judge: &judge{compiledRules: s.compiled, seen: map[protoreflect.MessageDescriptor]bool{}}, remarked: map[remarked]bool{},
	}
	w.schemas.writer = w
	return w
}
