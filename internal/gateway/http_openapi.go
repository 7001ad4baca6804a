package gateway

import (
	"context"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// httpOpenAPI answers with the OpenAPI document of the snapshot.
type httpOpenAPI struct{ yaml bool }

// serve implements httpAction.
func (a *httpOpenAPI) serve(_ context.Context, c *call, d *httpDownstream) proxy.Result {
	query := c.r.URL.Query()
	f, err := c.snapshot.openAPI.file(c.snapshot, wantedDocument{query.Get("version"), query.Get("service"), a.yaml})
	if err != nil {
		return proxy.Result{Err: rpcerror.New(http.StatusNotFound, codes.NotFound, "%s", err.Error())}
	}
	f.answer(c, d)
	return proxy.Result{}
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
