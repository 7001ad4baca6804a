package gateway_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestMaintenance: Traffic 207: calls of what is under maintenance are refused in the form of
// each protocol, browsers see a page, health knows, the switch outlives reloads, and all else
// goes on.
func TestMaintenance(t *testing.T) {
	_, address := startSick(t)
	page := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(page, []byte("<h1>Soon</h1>"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"parted.proto": splitProto}, Backend: address,
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", startSite(t)),
		Config: fmt.Sprintf(`
maintenance:
  - { name: books, services: [parted.v1.*], retry_after: 90s, page: %q }
  - { name: site, upstreams: [site] }
  - { name: all, allow: [127.0.0.0/8, "::1"] }
routes: [{ match: { path_prefix: / }, upstream: site }, { match: { path: /hi }, respond: { body: hi } }]
defaults: { cors: { allowed_origins: ["*"] } }
`, page)})
	conn, err := grpc.NewClient(g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	health := func() healthv1.HealthCheckResponse_ServingStatus {
		a, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "parted.v1.Service"})
		if err != nil {
			t.Fatal(err)
		}
		return a.GetStatus()
	}
	set := func(name, state string) {
		t.Helper()
		if err := g.SetMaintenance(name, state); err != nil {
			t.Fatal(err)
		}
	}
	if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 200 || health() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("off: %d %s, %v", a.Status, a.Body, health())
	}
	set("books", "on")
	a := g.Do(t, "GET", "/v1/read", "", "Origin", "https://page.example")
	if a.Status != 503 || a.Header.Get("Retry-After") != "90" || !strings.Contains(a.Body, `"message":"this service is under`) || !strings.Contains(a.Body, `"reason":"MAINTENANCE"`) || a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("REST: %d %v %s", a.Status, a.Header, a.Body)
	}
	if a = g.Do(t, "GET", "/v1/read", "", "Accept", "text/html,*/*"); a.Status != 503 || a.Body != "<h1>Soon</h1>" || a.Header.Get("Retry-After") != "90" {
		t.Errorf("a browser: %d %v %s", a.Status, a.Header, a.Body)
	}
	if a = g.Do(t, "POST", "/parted.v1.Service/Read", "{}", "Content-Type", "application/json", "Connect-Protocol-Version", "1", "Accept", "text/html"); a.Status != 503 || !strings.Contains(a.Body, `"code":"unavailable"`) {
		t.Errorf("Connect: %d %s", a.Status, a.Body)
	}
	err = conn.Invoke(t.Context(), "/parted.v1.Service/Read", new(emptypb.Empty), new(emptypb.Empty))
	if status.Code(err) != codes.Unavailable || len(status.Convert(err).Details()) != 2 || health() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("gRPC: %v; health %v", err, health())
	}
	if a = g.Do(t, "GET", "/page", ""); a.Status != 200 {
		t.Errorf("another upstream: %d", a.Status)
	}
	if report := g.Gateway.Explain(httptest.NewRequest("GET", "/v1/read", nil)).Report; !strings.Contains(report, "maintenance books is on, all is off\n") {
		t.Errorf("explained as\n%s", report)
	}
	if err := os.WriteFile(g.Config, append(configText(t, g), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a = g.Do(t, "GET", "/v1/read", ""); a.Status != 503 || health() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("after a reload: %d, %v", a.Status, health())
	}
	set("books", "auto")
	set("site", "on")
	set("all", "on") // which lets this client through
	if a = g.Do(t, "GET", "/v1/read", ""); a.Status != 200 {
		t.Errorf("off again: %d %s", a.Status, a.Body)
	}
	if a = g.Do(t, "GET", "/page", ""); a.Status != 503 || a.Header.Get("Retry-After") != "60" {
		t.Errorf("a route: %d %s", a.Status, a.Body)
	}
	if a = g.Do(t, "GET", "/hi", ""); a.Status != 200 {
		t.Errorf("an answer of the gateway's own: %d", a.Status)
	}
	if err := g.SetMaintenance("nothing", "on"); err == nil {
		t.Error("an entry that is not there can be switched")
	}
}

// TestMaintenanceOfRoutes: Traffic 207: an entry may be for some routes, lets through whom an
// expression names, and shows its page as that is now.
func TestMaintenanceOfRoutes(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("<h1>Soon</h1>")
	g := startRoutes(t, `
maintenance:
  - { name: shop, enabled: true, routes: ["/shop/**", "x.example/hi"], page: `+page+`, allow_when: "headers['x-operator'] == 'yes' || method.startsWith('PUT')" }
routes:
  - { match: { path_prefix: / }, upstream: site }
  - { match: { path_prefix: /shop }, upstream: site }
  - { match: { path_prefix: /shop, methods: [PUT] }, upstream: site }
  - { match: { host: x.example, path: /hi }, respond: { body: hi } }
`)
	for _, test := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"GET", "/shop/a", nil, 503},
		{"GET", "/shop/a", []string{"X-Operator", "yes"}, 200},
		{"GET", "/shop/a", []string{"X-Operator", "no"}, 503},
		{"PUT", "/shop/a", nil, 200},
		{"GET", "/other", nil, 200},
		{"GET", "/hi", nil, 200},
	} {
		if a := g.Do(t, test.method, test.path, "", test.header...); a.Status != test.status {
			t.Errorf("%s %s %q: %d, want %d", test.method, test.path, test.header, a.Status, test.status)
		}
	}
	if status := rawStatus(t, g.Addr, "GET /hi HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n\r\n"); status != 503 {
		t.Errorf("an answer of the gateway's own: %d", status)
	}
	shows := func(want string) {
		t.Helper()
		if a := g.Do(t, "GET", "/shop/a", "", "Accept", "text/html"); a.Status != 503 || a.Body != want {
			t.Errorf("%d %q, want %q", a.Status, a.Body, want)
		}
	}
	shows("<h1>Soon</h1>")
	if !slices.Contains(g.Files(), page) {
		t.Errorf("the page is not among the files that are watched: %q", g.Files())
	}
	write("<h1>Later</h1>")
	if _, err := g.Reload(t.Context()); err != nil { // as whoever watches the files does
		t.Fatal(err)
	}
	shows("<h1>Later</h1>")
	for source, want := range map[string]string{
		"principal == 'a'": "maintenance stands before auth",
		"headers[":         "Syntax error",
		"method":           "the expression gives string, expected bool",
	} {
		text := strings.Replace(string(configText(t, g)), `allow_when: "headers['x-operator'] == 'yes' || method.startsWith('PUT')"`, `allow_when: "`+source+`"`, 1)
		if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "maintenance[0].allow_when") {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
		if err := os.WriteFile(g.Config, []byte(strings.Replace(text, `allow_when: "`+source+`"`, `allow_when: "headers['x-operator'] == 'yes' || method.startsWith('PUT')"`, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMaintenanceLeavesStreams: Traffic 207: a stream that has begun goes on, and whoever is
// not let through is refused by all.
func TestMaintenanceLeavesStreams(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	address := serveStream(t, begun, end)
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"parted.proto": splitProto}, Backend: address,
		Config: "maintenance: [{ name: all, allow: [192.0.2.1] }]\n",
	})
	done := make(chan gatewaytest.Answer, 1)
	go func() { done <- g.Do(t, "GET", "/v1/watch", "") }()
	<-begun
	if err := g.SetMaintenance("all", "on"); err != nil {
		t.Error(err)
	}
	if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 503 {
		t.Errorf("a call: %d %s", a.Status, a.Body)
	}
	close(end)
	if a := <-done; a.Status != 200 || strings.Contains(a.Body, "MAINTENANCE") {
		t.Errorf("the stream: %d %s", a.Status, a.Body)
	}
}

// serveStream serves one stream, from begun to end.
func serveStream(t *testing.T, begun, end chan struct{}) string {
	return grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		close(begun)
		<-end
		return stream.SendMsg(new(emptypb.Empty))
	})
}

// configText is the configuration of a gateway.
func configText(t *testing.T, g *gatewaytest.Gateway) []byte {
	t.Helper()
	text, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
