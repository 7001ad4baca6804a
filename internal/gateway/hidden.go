package gateway

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/schema"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// offered says which services of a source are served.
type offered struct {
	index   int    // of the source in the configuration
	folder  string // of a folder, else empty
	include []string
	exclude []string
}

func newOffered(index int, folder string, source *transomv1.SchemaSource) offered {
	return offered{index: index, folder: folder, include: source.GetServices(), exclude: source.GetExclude()}
}

// has reports whether a service is served.
func (o offered) has(service string) bool {
	matches := func(pattern string) bool { return matchService(pattern, service) >= 0 }
	return (len(o.include) == 0 || slices.ContainsFunc(o.include, matches)) && !slices.ContainsFunc(o.exclude, matches)
}

// offers reports whether a service of a registry is served. A folder may be named
// several times: then once is enough.
func (b *builder) offers(r *schema.Registry, service protoreflect.ServiceDescriptor) bool {
	folder := r.Folder(service.ParentFile())
	return slices.ContainsFunc(b.sources.offeredBy(r), func(o offered) bool {
		return o.folder == folder && o.has(string(service.FullName()))
	})
}

// idleOffers warns of patterns of services that there are none of.
func (b *builder) idleOffers(services []string) {
	for i, source := range b.file.Config.GetSchemas() {
		for name, patterns := range map[string][]string{"services": source.GetServices(), "exclude": source.GetExclude()} {
			for j, pattern := range patterns {
				matches := func(service string) bool { return matchService(pattern, service) >= 0 }
				if slices.ContainsFunc(services, matches) {
					continue
				}
				message := fmt.Sprintf("schemas[%d].%s: there is no service %s", i, name, pattern)
				if near := nearest.Of(services, strings.TrimSuffix(pattern, ".*")); near != "" {
					message += fmt.Sprintf("; did you mean %s?", near)
				}
				b.warn(message, "schemas", i, name, j)
			}
		}
	}
}

// hide keeps a service or method off everything that clients see.
func (s *Snapshot) hide(d protoreflect.Descriptor) {
	if s.hidden == nil {
		s.hidden = map[protoreflect.FullName]bool{}
	}
	s.hidden[d.FullName()] = true
}

// hideIn keeps a service of a registry that comes from another one off reflection.
func (s *Snapshot) hideIn(r *schema.Registry, service protoreflect.FullName) {
	if s.hiddenIn == nil {
		s.hiddenIn = map[*schema.Registry]map[protoreflect.FullName]bool{}
	}
	if s.hiddenIn[r] == nil {
		s.hiddenIn[r] = map[protoreflect.FullName]bool{}
	}
	s.hiddenIn[r][service] = true
}

// hidesNothing reports whether reflection shows all that the schemas have.
func (s *Snapshot) hidesNothing() bool { return len(s.hidden) == 0 && len(s.hiddenIn) == 0 }

// hideEmpty hides a service of which every method is hidden.
func (s *Snapshot) hideEmpty(service protoreflect.ServiceDescriptor) {
	methods := service.Methods()
	for i := range methods.Len() {
		if !s.hidden[methods.Get(i).FullName()] {
			return
		}
	}
	if methods.Len() > 0 {
		s.hide(service)
	}
}

// publish makes the registries that reflection shows.
func (s *Snapshot) publish() {
	s.public = s.registries
	if s.hidesNothing() {
		return
	}
	s.public = make([]*schema.Registry, len(s.registries))
	for i, r := range s.registries {
		s.public[i] = r.Without(func(name protoreflect.FullName) bool { return s.hidden[name] || s.hiddenIn[r][name] })
	}
}

// withheld is the error of what reflection must not show although it is there: what
// the schema has and the public registries have not. The gateway has types linked in
// that reflection falls back to, which may be the same.
func (s *Snapshot) withheld(has func(*protoregistry.Files) bool) error {
	if s == nil || s.hidesNothing() {
		return nil
	}
	of := func(list []*schema.Registry) bool {
		return slices.ContainsFunc(list, func(r *schema.Registry) bool { return has(r.Files()) })
	}
	if of(s.registries) && !of(s.public) {
		return protoregistry.NotFound
	}
	return nil
}

// withheldFile and withheldName ask for a file and for a name.
func (s *Snapshot) withheldFile(path string) error {
	return s.withheld(func(files *protoregistry.Files) bool {
		_, err := files.FindFileByPath(path)
		return err == nil
	})
}

func (s *Snapshot) withheldName(name protoreflect.FullName) error {
	return s.withheld(func(files *protoregistry.Files) bool {
		_, err := files.FindDescriptorByName(name)
		return err == nil
	})
}
