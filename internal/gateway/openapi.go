package gateway

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/transcoder"
)

// OpenAPI makes the document of what is served.
func (g *Gateway) OpenAPI(o openapi.Options) (*openapi.Document, error) {
	s := g.acquire()
	if s == nil {
		return nil, fmt.Errorf("no configuration has been loaded yet")
	}
	defer s.release()
	return s.openAPI.document(s, o)
}

// documents makes the OpenAPI documents of a snapshot when they are first asked for.
type documents struct {
	version string          // of the gateway
	base    settings        // as of methods that say nothing of JSON
	mu      sync.Mutex      // for what follows
	source  *openapi.Source // nil before the first
	made    map[openapi.Options]*openapi.Document
}

func (d *documents) document(s *Snapshot, o openapi.Options) (*openapi.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.source == nil {
		d.source = openapi.New(s.describedAPI(d))
		d.made = map[openapi.Options]*openapi.Document{}
	}
	if o.Service != "" && !d.source.HasService(o.Service) {
		return nil, unknownService(d.source.Services(), o.Service)
	}
	if d.made[o] == nil {
		d.made[o], _ = d.source.Document(o)
	}
	return d.made[o], nil
}

// unknownService says what may have been meant.
func unknownService(services []string, name string) error {
	if meant := nearest.Of(services, name); meant != "" {
		return fmt.Errorf("no route leads to a service %q; did you mean %s?", name, meant)
	}
	return fmt.Errorf("no route leads to a service %q; there are %s", name, strings.Join(services, ", "))
}

// describable is an endpoint that a document can describe.
type describable interface{ describe() transcoder.Description }

// describedAPI is what the routes are, for those who describe them.
func (s *Snapshot) describedAPI(d *documents) *openapi.API {
	config := s.Config.Config
	api := &openapi.API{Version: d.version, JSON: d.base.answerJSON(config.GetDefaults().GetJson()), Auth: config.GetAuth()}
	packages := map[protoreflect.FullName]bool{}
	var names []string
	for _, r := range s.routes {
		e, ok := r.endpoint.(describable)
		if !ok {
			continue
		}
		route := openapi.Route{Description: e.describe(), Policy: r.guard.set.Effective}
		api.Routes = append(api.Routes, route)
		if pkg := route.Method.Descriptor.ParentFile().Package(); !packages[pkg] {
			packages[pkg] = true
			names = append(names, string(pkg))
		}
	}
	slices.Sort(names)
	if len(names) <= 3 {
		api.Title = strings.Join(names, ", ")
	}
	return api
}
