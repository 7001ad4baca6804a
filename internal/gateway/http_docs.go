package gateway

import (
	"context"
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// httpDocs answers with the documentation of what is served, for people.
type httpDocs struct{}

// serve implements httpAction.
func (*httpDocs) serve(_ context.Context, c *call, d *httpDownstream) proxy.Result {
	f, err := c.snapshot.openAPI.page(c.snapshot, c.r.URL.Query().Get("service"))
	if err != nil {
		return proxy.Result{Err: rpcerror.New(http.StatusNotFound, codes.NotFound, "%s", err.Error())}
	}
	h := c.w.Header()
	h["Content-Security-Policy"] = []string{openapi.PagePolicy}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["X-Frame-Options"] = []string{"DENY"}
	f.answer(c, d)
	return proxy.Result{}
}

// explain implements httpAction.
func (*httpDocs) explain(row func(name, format string, args ...any), _ *call) {
	row("answer", "200 with the documentation of the API (docs.path)")
}

// docsRoutes is the route of the documentation, if clients may have it.
func (b *builder) docsRoutes() []ownHTTPRoute {
	o := b.file.Config.GetDocs()
	if o.GetPath() == "" {
		return nil
	}
	return []ownHTTPRoute{{
		at: "docs.path", path: o.GetPath(), methods: []string{http.MethodGet, http.MethodHead}, action: &httpDocs{},
		policyAt: "docs", policy: o.GetPolicy(), answer: "documentation", ownContent: true,
	}}
}
