package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// httpOpenAPI answers with the OpenAPI document of the snapshot.
type httpOpenAPI struct{ wanted wantedDocument }

// serve implements httpAction.
func (a *httpOpenAPI) serve(_ context.Context, c *call, d *httpDownstream) proxy.Result {
	wanted := a.wanted
	if c.r.URL.RawQuery != "" {
		wanted.ask(c.r.URL.Query())
	}
	f, err := c.snapshot.openAPI.file(c.snapshot, wanted)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return proxy.Result{Err: rpcerror.New(http.StatusNotFound, codes.NotFound, "%s", err.Error())}
	case err != nil:
		return proxy.Result{Err: rpcerror.New(http.StatusBadRequest, codes.InvalidArgument, "%s", err.Error())}
	}
	f.answer(c, d)
	return proxy.Result{}
}

// ask reads what a client asks for.
func (w *wantedDocument) ask(query url.Values) {
	w.version, w.service = cmp.Or(query.Get("version"), w.version), query.Get("service")
}

// explain implements httpAction.
func (a *httpOpenAPI) explain(row func(name, format string, args ...any), _ *call) {
	row("answer", "200 with the OpenAPI document (openapi.path)")
}

// openAPIRoutes are the routes of the documents that clients may have.
func (b *builder) openAPIRoutes() []ownHTTPRoute {
	o := b.file.Config.GetOpenapi()
	var all []ownHTTPRoute
	add := func(route ownHTTPRoute, wanted wantedDocument) {
		route.methods, route.answer, route.action = []string{http.MethodGet, http.MethodHead}, "OpenAPI document", &httpOpenAPI{wanted}
		all = append(all, route)
		wanted.yaml = true
		route.path, route.action = strings.TrimSuffix(route.path, ".json")+".yaml", &httpOpenAPI{wanted}
		all = append(all, route)
	}
	if o.GetPath() != "" {
		add(ownHTTPRoute{at: "openapi.path", path: o.GetPath(), policyAt: "openapi", policy: o.GetPolicy()}, wantedDocument{version: openapi.Version31})
	}
	for i, d := range o.GetDocuments() {
		at := fmt.Sprintf("openapi.documents[%d]", i)
		add(ownHTTPRoute{at: at + ".path", path: d.GetPath(), policyAt: at, policy: d.GetPolicy()}, wantedDocument{version: openapi.Version31, own: i + 1})
	}
	if o.GetByPackage() {
		for _, pkg := range openapi.New(b.snapshot.describedAPI(&b.snapshot.openAPI)).Packages(o.GetVisibility()) {
			path := strings.TrimSuffix(o.GetPath(), ".json") + "/" + pkg + ".json"
			add(ownHTTPRoute{at: "openapi.by_package", path: path, policyAt: "openapi", policy: o.GetPolicy()}, wantedDocument{version: openapi.Version31, pkg: pkg})
		}
	}
	return all
}

// describedPackages are the packages of the methods that have routes.
func (b *builder) describedPackages() []string {
	var names []string
	for _, r := range b.snapshot.routes {
		if e, ok := r.endpoint.(describable); ok {
			if pkg := string(e.describe().Method.Descriptor.ParentFile().Package()); pkg != "" {
				names = append(names, pkg)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkDocuments warns of documents of packages that have no route.
func (b *builder) checkDocuments() {
	packages := b.describedPackages()
	for i, d := range b.file.Config.GetOpenapi().GetDocuments() {
		for j, pkg := range d.GetPackages() {
			if !slices.Contains(packages, pkg) {
				b.warn(fmt.Sprintf("openapi.documents[%d].packages[%d]: found %q, a package without a route: nobody gets the document; there are %s", i, j, pkg, strings.Join(packages, ", ")), "openapi", "documents", i, "packages", j)
			}
		}
	}
}

// checkOperations refuses operationIds that options give to two methods: a document has each once
// (Surface 207).
func (b *builder) checkOperations() {
	source := openapi.New(b.snapshot.describedAPI(&b.snapshot.openAPI))
	for _, r := range source.Repeated() {
		registry, other := b.services[r.Method.Parent().FullName()], b.services[r.Other.Parent().FullName()]
		if registry == nil {
			continue
		}
		owner := string(r.Other.FullName())
		if other != nil && r.OtherOption > 0 {
			owner += " (" + place(other.Position(r.Other, int32(r.OtherOption))) + ")"
		} else if other != nil {
			owner += " (" + place(other.Position(r.Other)) + ")"
		}
		b.problemAt(registry, r.Method, fmt.Sprintf("found the operationId %.200q, which %s has, too: an OpenAPI document has each once; change or remove one of the two", r.ID, owner), int32(r.Option))
	}
}
