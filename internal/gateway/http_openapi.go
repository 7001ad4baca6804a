package gateway

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// httpOpenAPI answers with the OpenAPI document of the snapshot.
type httpOpenAPI struct{ yaml bool }

// serve implements httpAction.
func (a *httpOpenAPI) serve(_ context.Context, c *call, d *httpDownstream) proxy.Result {
	wanted := wantedDocument{version: openapi.Version31, yaml: a.yaml}
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

// openAPIRoutes are the routes of the document, if clients may have it.
func (b *builder) openAPIRoutes() []ownHTTPRoute {
	o := b.file.Config.GetOpenapi()
	if o.GetPath() == "" {
		return nil
	}
	json := ownHTTPRoute{
		at: "openapi.path", path: o.GetPath(), methods: []string{http.MethodGet, http.MethodHead}, action: &httpOpenAPI{},
		policyAt: "openapi", policy: o.GetPolicy(), answer: "OpenAPI document",
	}
	yaml := json
	yaml.path, yaml.action = strings.TrimSuffix(o.GetPath(), ".json")+".yaml", &httpOpenAPI{yaml: true}
	return []ownHTTPRoute{json, yaml}
}
