package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/schema"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder"
)

// OpenAPI makes the document of what is served, and says which routes it is without.
func (g *Gateway) OpenAPI(o openapi.Options) (*openapi.Document, Problems, error) {
	s := g.acquire()
	if s == nil {
		return nil, nil, fmt.Errorf("no configuration has been loaded yet")
	}
	defer s.release()
	s.openAPI.mu.Lock()
	defer s.openAPI.mu.Unlock()
	if o.Visibility == nil {
		o.Visibility = s.Config.Config.GetOpenapi().GetVisibility()
	}
	return s.openAPI.document(s, o)
}

// OpenAPIText is the text of the document of what is served, and its entity tag. It is made
// when it is first asked for. The error is an fs.ErrNotExist for what is not served.
func (g *Gateway) OpenAPIText(version, service string, yaml bool) (text []byte, tag string, err error) {
	s := g.acquire()
	if s == nil {
		return nil, "", fmt.Errorf("no configuration has been loaded yet")
	}
	defer s.release()
	f, err := s.openAPI.file(s, wantedDocument{version: version, service: service, yaml: yaml})
	if err != nil {
		return nil, "", err
	}
	return f.plain, f.tag[0], nil
}

// documents makes the OpenAPI documents of a snapshot when they are first asked for.
type documents struct {
	version string   // of the gateway
	base    settings // as of methods that say nothing of JSON

	mu     sync.Mutex      // for what follows
	source *openapi.Source // nil before the first
	files  map[wantedDocument]*ownFile
	pages  map[string]*ownFile // by service
	kept   int                 // bytes of files and pages
}

// wantedDocument is what a client asks for.
type wantedDocument struct {
	version, service, pkg string
	// own is the number of a document of the configuration from 1, 0 for that of all.
	own  int
	yaml bool
}

// options are those of the document, by the configuration.
func (w *wantedDocument) options(o *transomv1.OpenApi) openapi.Options {
	options := openapi.Options{Version: w.version, Service: w.service, Visibility: o.GetVisibility()}
	if w.own > 0 {
		d := o.GetDocuments()[w.own-1]
		options.Packages, options.Visibility = d.GetPackages(), d.GetVisibility()
	}
	if w.pkg != "" {
		options.Packages = []string{w.pkg}
	}
	return options
}

// file is the text of a document.
func (d *documents) file(s *Snapshot, a wantedDocument) (*ownFile, error) {
	a.version = cmp.Or(a.version, openapi.Version31)
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[a]; f != nil {
		return f, nil
	}
	document, _, err := d.document(s, a.options(s.Config.Config.GetOpenapi()))
	if err != nil {
		return nil, err
	}
	text, contentType := document.JSON(), "application/json"
	if a.yaml {
		text, contentType = document.YAML(), "application/yaml"
	}
	sum := sha256.Sum256(text)
	f := newOwnFile(text, contentType, hex.EncodeToString(sum[:16]))
	if d.files == nil {
		d.files = map[wantedDocument]*ownFile{}
	}
	d.keep(&f)
	d.files[a] = &f
	return &f, nil
}

// maxKeptDocuments bounds the bytes of the files that are kept: clients choose which of them there are.
const maxKeptDocuments = 64 << 20

// keep makes room for a file, under the lock.
func (d *documents) keep(f *ownFile) {
	size := len(f.plain) + len(f.zipped)
	if d.kept += size; d.kept > maxKeptDocuments {
		clear(d.files)
		clear(d.pages)
		d.kept = size
	}
}

// document makes a document, under the lock.
func (d *documents) document(s *Snapshot, o openapi.Options) (*openapi.Document, Problems, error) {
	d.open(s)
	switch o.Version {
	case "", openapi.Version31, openapi.Version32:
	default:
		return nil, nil, fmt.Errorf("found the version %.20q of OpenAPI, expected %s or %s", o.Version, openapi.Version31, openapi.Version32)
	}
	if o.Service != "" {
		if services := d.source.Services(o.Visibility, o.Packages); !slices.Contains(services, o.Service) {
			return nil, nil, unknown("service", services, o.Service)
		}
	}
	for _, pkg := range o.Packages {
		if packages := d.source.Packages(o.Visibility); !slices.Contains(packages, pkg) {
			return nil, nil, unknown("package", packages, pkg)
		}
	}
	document, remarks := d.source.Document(o)
	var problems Problems
	for _, r := range remarks {
		p := s.placeOf(r.At)
		p.Message, p.Warning = r.Message, true
		problems = append(problems, p)
	}
	return document, problems, nil
}

// placeOf is where an element of a proto stands, as far as that is known.
func (s *Snapshot) placeOf(d protoreflect.Descriptor) (p Problem) {
	for _, r := range s.registries {
		if file, err := r.FindFileByPath(d.ParentFile().Path()); err == nil && file == d.ParentFile() {
			p.File, p.Line, p.Column = r.Position(d)
			return p
		}
	}
	p.File = d.ParentFile().Path()
	return p
}

// notServed is asked for, and not there: it is an fs.ErrNotExist.
type notServed string

// Error implements error.
func (e notServed) Error() string { return string(e) }

// Is has errors.Is take it for fs.ErrNotExist.
func (e notServed) Is(target error) bool { return target == fs.ErrNotExist }

// open makes the source of documents and pages, under the lock.
func (d *documents) open(s *Snapshot) {
	if d.source == nil {
		d.source = openapi.New(s.describedAPI(d))
	}
}

// page is the documentation of a service, "" for all, as HTML.
func (d *documents) page(s *Snapshot, service string) (*ownFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.pages[service]; f != nil {
		return f, nil
	}
	d.open(s)
	visibility := s.Config.Config.GetOpenapi().GetVisibility()
	if service != "" {
		if services := d.source.Services(visibility, nil); !slices.Contains(services, service) {
			return nil, unknown("service", services, service)
		}
	}
	text := d.source.Page(service, visibility)
	sum := sha256.Sum256(text)
	f := newOwnFile(text, "text/html; charset=utf-8", hex.EncodeToString(sum[:16]))
	if d.pages == nil {
		d.pages = map[string]*ownFile{}
	}
	d.keep(&f)
	d.pages[service] = &f
	return &f, nil
}

// unknown says what may have been meant.
func unknown(kind string, services []string, name string) error {
	if meant := nearest.Of(services, name); meant != "" {
		return notServed(fmt.Sprintf("no route leads to a %s %.200q; did you mean %s?", kind, name, meant))
	}
	more := ""
	if len(services) > 10 {
		services, more = services[:10], " and others"
	}
	return notServed(fmt.Sprintf("no route leads to a %s %.200q; there are %s%s", kind, name, strings.Join(services, ", "), more))
}

// describable is an endpoint that a document can describe.
type describable interface{ describe() transcoder.Description }

// describedAPI is what the routes are, for those who describe them.
func (s *Snapshot) describedAPI(d *documents) *openapi.API {
	config := s.Config.Config
	api := &openapi.API{Version: d.version, JSON: d.base.answerJSON(config.GetDefaults().GetJson()), Auth: config.GetAuth(), Unchecked: config.GetDefaults().GetValidate().GetDisabled(), Extensions: declared(s.registries)}
	for _, r := range s.routes {
		if e, ok := r.endpoint.(*httpEndpoint); ok {
			api.Plain = append(api.Plain, e.plain()...)
			continue
		}
		e, ok := r.endpoint.(describable)
		if !ok {
			continue
		}
		if described := e.describe(); s.rest.onlyRules && described.Template.String() == described.Method.Path {
			continue // it is not served as plain JSON
		}
		route := openapi.Route{Description: e.describe(), Policy: r.guard.set.Effective, Validator: r.guard.validator()}
		api.Routes = append(api.Routes, route)
	}
	o := config.GetOpenapi()
	api.Title, api.Description, api.Servers = o.GetTitle(), o.GetDescription(), o.GetServers()
	api.Version = cmp.Or(o.GetVersion(), api.Version)
	settle(api, config)
	return api
}

// declared are the extensions that schemas have, or else the program.
type declared []*schema.Registry

// FindExtensionByName implements protoregistry.ExtensionTypeResolver.
func (e declared) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	for _, r := range e {
		if found, err := r.FindExtensionByName(name); err == nil {
			return found, nil
		}
	}
	return protoregistry.GlobalTypes.FindExtensionByName(name)
}

// FindExtensionByNumber implements protoregistry.ExtensionTypeResolver.
func (e declared) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	for _, r := range e {
		if found, err := r.FindExtensionByNumber(message, number); err == nil {
			return found, nil
		}
	}
	return protoregistry.GlobalTypes.FindExtensionByNumber(message, number)
}

// settle says how the configuration has the API described.
func settle(api *openapi.API, config *transomv1.Config) {
	o := config.GetOpenapi()
	api.GRPCGateway = config.GetCompatibility() == transomv1.Config_GRPC_GATEWAY
	api.ShortNames, api.ExactOneofs, api.Errors = o.GetNaming() == transomv1.OpenApi_SHORT, o.GetOneofs() == transomv1.OpenApi_EXACT, o.GetErrors()
	api.TemplatePaths = o.GetPathStyle() == transomv1.OpenApi_TEMPLATE || api.GRPCGateway && o.GetPathStyle() == transomv1.OpenApi_PATH_STYLE_UNSPECIFIED
	api.QualifiedNames = o.GetNaming() == transomv1.OpenApi_QUALIFIED
	api.Titled, api.Versioned = o.GetTitle() != "", o.GetVersion() != ""
}

// plain describes a route of the configuration; none for the gateway's own.
func (e *httpEndpoint) plain() []openapi.Plain {
	p := openapi.Plain{Match: e.route.GetMatch(), Policy: e.set.Effective, Statuses: e.status}
	switch a := e.action.(type) {
	case *httpForward:
	case *httpRespond:
		p.Status, p.Type = a.status, a.header.Get("Content-Type")
	case *httpRedirect:
		p.Status, p.Redirects = a.status, true
	default:
		return nil
	}
	return []openapi.Plain{p}
}
