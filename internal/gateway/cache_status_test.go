package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// statusServer answers as the name of a shelf says.
func statusServer(t *testing.T) (address string, ill *atomic.Bool) {
	t.Helper()
	ill = new(atomic.Bool)
	return grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		request := new(pb.GetShelfRequest)
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		if ill.Load() {
			return status.Error(codes.Unavailable, "not now")
		}
		header := map[string]metadata.MD{
			"shelves/private": metadata.Pairs("cache-control", "no-store"),
			"shelves/varies":  metadata.Pairs("vary", "x-tenant"),
			"shelves/while":   metadata.Pairs("cache-control", "max-age=0, stale-while-revalidate=600"),
			"shelves/error":   metadata.Pairs("cache-control", "max-age=0, stale-if-error=600"),
		}[request.GetName()]
		if err := stream.SetHeader(header); err != nil {
			return err
		}
		return stream.SendMsg(&pb.Shelf{Name: request.GetName()})
	}), ill
}

const statusPolicy = "policies: [{ selector: shared.v1.Service.Read, policy: { cache: { ttl: 600s, obey_client: true } } }]\n"

// plainSharedProto is sharedProto without the policy.
var plainSharedProto = strings.Replace(sharedProto, "option (transom.v1.method) = { cache: { ttl: { seconds: 600 } not_found_ttl: { seconds: 600 } } };", "", 1)

// withoutTime takes the seconds off a ttl, which pass while the test runs.
func withoutTime(status string) string {
	if before, rest, ok := strings.Cut(status, "ttl="); ok {
		return before + "ttl=" + map[bool]string{true: "-", false: "+"}[rest[0] == '-'] + strings.TrimLeft(rest, "-0123456789")
	}
	return status
}

// TestCacheStatus: Traffic 123: with cache.status_header the answers of REST and Connect say in
// Cache-Status what the cache did; those of gRPC do not, and none do without it.
func TestCacheStatus(t *testing.T) {
	address, ill := statusServer(t)
	start := func(config string) *gatewaytest.Gateway {
		return gatewaytest.Start(t, gatewaytest.Options{Backend: address, Protos: map[string]string{"shared.proto": plainSharedProto}, Config: statusPolicy + config})
	}
	g := start("cache: { status_header: true }")
	const (
		get     = "/v1/shared/shelves/"
		connect = sharedRead + "?connect=v1&encoding=json&message=%7B%22name%22%3A%22shelves%2F1%22%7D"
	)
	for i, c := range []struct {
		method, path string
		headers      []string
		want         string
	}{
		{"GET", get + "1", nil, "transom; fwd=uri-miss; stored"},
		{"GET", get + "1", nil, "transom; hit; ttl=+"},
		{"HEAD", get + "1", nil, "transom; hit; ttl=+"},
		{"GET", connect, nil, "transom; hit; ttl=+"},
		{"POST", "/v1/shared:read", []string{"Content-Type", "application/json"}, "transom; hit; ttl=+"},
		{"POST", sharedRead, []string{"Content-Type", "application/json"}, "transom; hit; ttl=+"},
		{"GET", get + "1", []string{"Cache-Control", "no-cache"}, "transom; fwd=request; stored"},
		{"GET", get + "1", []string{"Cache-Control", "no-store"}, "transom; fwd=bypass"},
		{"GET", get + "1", []string{"Authorization", "Basic YTpi"}, "transom; fwd=bypass"},
		{"GET", get + "2", []string{"Cache-Control", "only-if-cached"}, ""},
		{"GET", get + "private", nil, "transom; fwd=uri-miss"},
		{"GET", get + "private", nil, "transom; fwd=bypass; detail=hit-for-miss"},
		{"GET", get + "varies", []string{"X-Tenant", "1"}, "transom; fwd=uri-miss; stored"},
		{"GET", get + "varies", []string{"X-Tenant", "2"}, "transom; fwd=vary-miss; stored"},
		{"GET", get + "while", nil, "transom; fwd=uri-miss; stored"},
		{"GET", get + "while", nil, "transom; hit; ttl=-; detail=stale-while-revalidate"},
		{"GET", get + "error", nil, "transom; fwd=uri-miss; stored"},
		{"GET", get + "error", nil, "transom; fwd=stale; stored"},
		{"GET", get + "error", []string{"ill"}, "transom; fwd=stale; ttl=-; detail=stale-if-error"},
		{"GET", get + "3", []string{"ill"}, "transom; fwd=uri-miss"},
	} {
		headers := c.headers
		ill.Store(len(headers) == 1)
		if len(headers) == 1 {
			headers = nil
		}
		body := ""
		if c.method == "POST" {
			body = `{"name":"shelves/1"}`
		}
		a := g.Do(t, c.method, c.path, body, headers...)
		if got := withoutTime(strings.Join(a.Header["Cache-Status"], ", ")); got != c.want {
			t.Errorf("%d, %s %s %q: %d, %q, want %q", i, c.method, c.path, c.headers, a.Status, got, c.want)
		}
	}
	ill.Store(false)
	t.Run("Traffic 123: nothing of it by gRPC, and without the setting", func(t *testing.T) {
		off := start("")
		for _, g := range []*gatewaytest.Gateway{g, off} {
			for _, c := range sharedClients(grpctest.Dial(t, g.Addr)) {
				a, err := c.ask(t.Context(), g, "shelves/1")
				if err != nil {
					t.Fatal(err)
				}
				if said := a.header["Cache-Status"]; (said != nil) != (g != off && !strings.HasPrefix(c.name, "gRPC")) {
					t.Errorf("%s has %q", c.name, said)
				}
			}
		}
	})
}

// TestCacheStatusOfOthers: Traffic 123, 116: what a principal is told is about their own answers.
func TestCacheStatusOfOthers(t *testing.T) {
	address, _ := statusServer(t)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, Protos: map[string]string{"shared.proto": plainSharedProto},
		Config: toyIssuer + "cache: { status_header: true }\npolicies: [{ selector: shared.v1.Service.Read, policy: { auth: { jwt: {} }, cache: { ttl: 600s } } }]\n"})
	for _, c := range [][2]string{{"ada", "transom; fwd=uri-miss; stored"}, {"ada", "transom; hit; ttl=+"}, {"eve", "transom; fwd=uri-miss; stored"}} {
		a := g.Do(t, "GET", "/v1/shared/shelves/1", "", bearerOf(t, c[0])...)
		if got := withoutTime(strings.Join(a.Header["Cache-Status"], ", ")); got != c[1] {
			t.Errorf("%s is told %q, want %q", c[0], got, c[1])
		}
	}
	if a := g.Do(t, "GET", "/v1/shared/shelves/1", ""); a.Status != 401 || a.Header["Cache-Status"] != nil {
		t.Errorf("nobody gets %d, %q", a.Status, a.Header)
	}
}

// TestCacheStatusOfRoutes: Traffic 123, 131: on routes it stands behind what caches nearer to the server say.
func TestCacheStatusOfRoutes(t *testing.T) {
	var ill atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch h.Set("Cache-Control", "max-age=600"); r.URL.Path {
		case "/nearer":
			h.Set("Cache-Status", "origin; hit")
		case "/private":
			h.Set("Cache-Control", "no-store")
		case "/etag":
			h.Set("Cache-Control", "max-age=0")
			h.Set("Etag", `"v1"`)
			if r.Header.Get("If-None-Match") == `"v1"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		case "/error":
			h.Set("Cache-Control", "max-age=0, stale-if-error=600")
			if ill.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = fmt.Fprint(w, "hello") // the client looks
	}))
	t.Cleanup(server.Close)
	start := func(config string) *gatewaytest.Gateway {
		return gatewaytest.Start(t, gatewaytest.Options{
			Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(server.URL, "http://")),
			Config:    config + "routes: [{ match: { path_prefix: / }, upstream: site, policy: { cache: {} } }]",
		})
	}
	g := start("cache: { status_header: true }\n")
	for i, c := range []struct{ method, path, header, want string }{
		{"GET", "/a", "", "transom; fwd=uri-miss; stored"},
		{"GET", "/a", "", "transom; hit; ttl=+"},
		{"GET", "/a", "Range", "transom; fwd=bypass; detail=range"},
		{"GET", "/a", "X-Http-Method-Override", "transom; fwd=bypass"},
		{"GET", "/a", "X-Original-Url", "transom; fwd=bypass"},
		{"HEAD", "/a", "", "transom; hit; ttl=+"},
		{"HEAD", "/b", "", "transom; fwd=uri-miss"},
		{"OPTIONS", "/a", "", "transom; fwd=method"},
		{"POST", "/a", "", "transom; fwd=method"},
		{"GET", "/nearer", "", "origin; hit, transom; fwd=uri-miss; stored"},
		{"GET", "/nearer", "", "origin; hit, transom; hit; ttl=+"},
		{"GET", "/private", "", "transom; fwd=uri-miss"},
		{"GET", "/private", "", "transom; fwd=bypass; detail=hit-for-miss"},
		{"GET", "/etag", "", "transom; fwd=uri-miss; stored"},
		{"GET", "/etag", "", "transom; fwd=stale; fwd-status=304; stored"},
		{"GET", "/error", "", "transom; fwd=uri-miss; stored"},
		{"GET", "/error", "ill", "transom; fwd=stale; ttl=-; detail=stale-if-error"},
	} {
		var headers []string
		switch c.header {
		case "", "ill":
		case "Range":
			headers = []string{"Range", "bytes=0-1"}
		default:
			headers = []string{c.header, "/other"}
		}
		ill.Store(c.header == "ill")
		a := g.Do(t, c.method, c.path, "", headers...)
		if got := withoutTime(strings.Join(a.Header["Cache-Status"], ", ")); got != c.want {
			t.Errorf("%d, %s %s: %d, %q, want %q", i, c.method, c.path, a.Status, got, c.want)
		}
	}
	off := start("")
	for range 2 {
		if a := off.Do(t, "GET", "/nearer", ""); strings.Join(a.Header["Cache-Status"], ", ") != "origin; hit" {
			t.Errorf("without the setting: %q", a.Header)
		}
	}
}

// TestUnknownCredentialsAreTheirOwners: Traffic 116, 123: where a credential comes that the gateway does not look at, the
// backend may, so that caches on the way are told that the answer is the caller's own; not where it is kept for all.
func TestUnknownCredentialsAreTheirOwners(t *testing.T) {
	address, _ := statusServer(t)
	for _, test := range []struct{ policy, header, value, want string }{
		{"{ ttl: 60s }", "X-Other", "a", "public, max-age=60"},
		{"{ ttl: 60s }", "Authorization", "Bearer a", "private"},
		{"{ ttl: 60s }", "Cookie", "a=b", "private"},
		{"{ ttl: 60s, scope: PUBLIC }", "Authorization", "Bearer a", "public, max-age=60"},
		{"{ scope: PUBLIC, not_found_ttl: 60s }", "Authorization", "Bearer a", "private"},
	} {
		g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, Protos: map[string]string{"shared.proto": plainSharedProto}, Config: `
policies: [{ selector: shared.v1.Service.Read, policy: { cache: ` + test.policy + ` } }]
`})
		for range 2 {
			a := g.Do(t, "GET", "/v1/shared/shelves/1", "", test.header, test.value)
			if got := strings.Join(a.Header["Cache-Control"], ", "); a.Status != 200 || got != test.want {
				t.Errorf("%s with %s: %d, %q, want %q", test.policy, test.header, a.Status, got, test.want)
			}
		}
	}
}
