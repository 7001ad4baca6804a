package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// page is an endpoint that is no RPC: it answers every request with its text.
type page struct {
	proxy.Downstream
	text string
	x    exchange.Exchange
}

var _ endpoint = page{}

func (page) accepts(_ *http.Request, p *transcoder.Protocol) (*transcoder.Protocol, bool) {
	return p, true
}

func (page) streams(*http.Request, *transcoder.Protocol) bool { return false }
func (page) clientStreams() bool                              { return false }
func (page) method() (protoreflect.MethodDescriptor, bool)    { return nil, false }
func (page) String() string                                   { return "greeting" }
func (page) begin(*call) error                                { return nil }
func (page) bound(ctx context.Context, _ *Gateway, _ *call) (context.Context, context.CancelFunc) {
	return ctx, func() {}
}

func (p page) downstream(_ *transcoder.Protocol, x exchange.Exchange) proxy.Downstream {
	p.x = x
	return p
}

func (p page) relay(_ context.Context, c *call) proxy.Result {
	_, err := io.WriteString(c.w, p.text+c.match.path.Values[0])
	return proxy.Result{Err: err}
}

func (page) protocolName(*transcoder.Protocol, http.Header) string { return "http" }
func (page) dropsBody(*http.Request, *transcoder.Protocol) bool    { return false }
func (page) where() string                                         { return "transom.yaml:1:1" }
func (p page) same(o endpoint) bool                                { return o.(page).text == p.text }
func (page) Open(ctx context.Context) (context.Context, error)     { return ctx, nil }
func (p page) Finish(err error, _ metadata.MD) (httpStatus int) {
	if err != nil {
		p.x.W.WriteHeader(http.StatusTeapot)
		return http.StatusTeapot
	}
	return http.StatusOK
}

// TestEndpointWithoutMethod: a route that leads to no RPC is found, admitted, answered,
// listed and explained as any other is.
func TestEndpointWithoutMethod(t *testing.T) {
	telemetry, err := observe.Setup(&transomv1.Telemetry{}, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	g := New(Options{Load: func() (*config.File, error) { return nil, nil }, Telemetry: telemetry})
	defer g.Close()
	b := g.newBuilder(&config.File{Config: &transomv1.Config{}}, newSources())
	b.prepare()
	set, problems := b.snapshot.policies.Compile(policy.Target{RPC: "greeting", Layers: []policy.Layer{{
		Policy: &transomv1.Policy{Headers: &transomv1.Headers{Response: &transomv1.HeaderTransform{Set: map[string]string{"X-Page": "yes"}}}},
	}, {
		Policy: &transomv1.Policy{Limits: &transomv1.Limits{MaxHeaderBytes: proto.Uint64(300)}},
	}}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	template, err := httprule.Parse("/hello/{name}")
	if err != nil {
		t.Fatal(err)
	}
	route := &Route{
		endpoint: page{text: "hello "}, guard: &guard{name: "greeting", set: set, changesHeader: set.ChangesHeader(), timeout: time.Minute},
		listing: Listed{Method: http.MethodGet, Path: "/hello/{name}"}, rule: "GET /hello/{name}", variables: []string{"name"},
	}
	if err := b.snapshot.tree.Add(http.MethodGet, template, route); err != nil {
		t.Fatal(err)
	}
	b.snapshot.routes = append(b.snapshot.routes, route)
	b.finish()
	if change, err := g.swap(time.Now(), b.snapshot, nil); err != nil || change.String() != "+1 routes, -0, ~0" {
		t.Fatal(change, err)
	}

	get := func(path, header string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("X-Some", header)
		g.ServeHTTP(w, r)
		return w
	}
	if w := get("/hello/ada", ""); w.Code != 200 || w.Body.String() != "hello ada" {
		t.Errorf("answered %d %q", w.Code, w.Body)
	}
	if w := get("/hello/ada", string(make([]byte, 400))); w.Code != http.StatusTeapot {
		t.Errorf("refused by %d, want the endpoint's own status", w.Code)
	}
	if w := get("/bye", ""); w.Code != http.StatusNotFound {
		t.Errorf("elsewhere: %d", w.Code)
	}
	socket := httptest.NewRequest(http.MethodGet, "/hello/ada", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		socket.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	if g.ServeHTTP(w, socket); w.Code != http.StatusNotFound {
		t.Errorf("a WebSocket to what does not stream: %d", w.Code)
	}
	if list := g.Routes(); len(list) != 1 || list[0].Path != "/hello/{name}" || len(list[0].Policies) != 2 {
		t.Errorf("listed as %+v", list)
	}
	if text, err := g.Describe(""); err != nil || text != "" {
		t.Errorf("described as %q, %v", text, err)
	}
}
