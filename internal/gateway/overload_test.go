package gateway_test

import (
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	memory "github.com/transom-gateway/transom/internal/heap"
	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
)

// TestOverload: Traffic 200: what each stage refuses, in the form of each protocol.
func TestOverload(t *testing.T) {
	var live atomic.Uint64
	guard := overload.New(overload.Options{Usage: func() memory.Use { return memory.Use{Live: live.Load() << 30, Limit: 1000 << 30} }})
	log := new(logtext.Text)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Log: log, Overload: guard, Upstreams: "site: { http: { servers: [\"" + startSite(t) + "\"] } }",
		Config: `
overload: { save_percent: 10, shed_percent: 20, refuse_percent: 30 }
routes: [{ match: { path_prefix: /site }, upstream: site }]
`})
	is := func(n uint64, want overload.Stage) {
		t.Helper()
		live.Store(n)
		guard.Set(&overload.Percents{Save: 10, Shed: 20, Refuse: 30})
		if guard.Stage() != want {
			t.Fatalf("%v, want %v", guard.Stage(), want)
		}
	}
	live.Store(350)
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if guard.Stage() != overload.Refuse {
		t.Fatalf("%v: the percentages of the configuration are not in effect", guard.Stage())
	}
	is(0, overload.Normal)
	conn, err := grpc.NewClient(g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	health := func() error {
		_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err
	}
	if err := health(); err != nil {
		t.Fatal(err)
	}
	get := func(path string, want int, header ...string) gatewaytest.Answer {
		t.Helper()
		a := g.Do(t, "GET", path, "", header...)
		if a.Status != want {
			t.Errorf("%v: GET %s: %d %s, want %d", guard.Stage(), path, a.Status, a.Body, want)
		}
		if want == 503 && a.Header.Get("Retry-After") != "2" {
			t.Errorf("%v: GET %s: Retry-After: %q", guard.Stage(), path, a.Header.Get("Retry-After"))
		}
		return a
	}
	events := []string{"Accept", "text/event-stream"}
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	get("/v1/shelves/1", 200)
	get("/site/page", 200)

	is(150, overload.Save)
	get("/v1/shelves/1", 200)

	is(250, overload.Shed)
	get("/v1/shelves/1", 200)
	get("/site/page", 200)
	get("/site/events", 503, events...)
	get("/site/socket", 503, upgrade...)
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/grpc.health.v1.Health/Watch")
	if err == nil {
		err = stream.SendMsg(&healthv1.HealthCheckRequest{})
	}
	if err == nil {
		err = stream.RecvMsg(&healthv1.HealthCheckResponse{})
	}
	if err != nil {
		t.Errorf("who watches the health: %v", err)
	}

	is(350, overload.Refuse)
	a := get("/v1/shelves/1", 503)
	if !strings.Contains(a.Body, `"code":14`) || !strings.Contains(a.Body, `"reason":"OVERLOADED"`) {
		t.Errorf("REST: %s", a.Body)
	}
	get("/site/page", 503)
	if err := health(); err != nil {
		t.Errorf("health: %v", err)
	}
	err = conn.Invoke(t.Context(), "/bookstore.v1.BookstoreService/GetShelf", &healthv1.HealthCheckRequest{}, &healthv1.HealthCheckResponse{})
	if status.Code(err) != codes.Unavailable || len(status.Convert(err).Details()) != 2 {
		t.Errorf("gRPC: %v", err)
	}
	answer := httptest.NewRecorder()
	g.Telemetry.Metrics.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if want := `transom_requests_total{code="UNAVAILABLE",protocol="rest",route="/v1/{name=shelves/*}",rpc="bookstore.v1.BookstoreService/GetShelf"} 1`; !strings.Contains(answer.Body.String(), want) {
		t.Errorf("the metrics have no line %s:\n%s", want, answer.Body)
	}
	if want := `"refused_by":"overload"`; !strings.Contains(log.String(), want) {
		t.Errorf("the access log has no %s:\n%s", want, log.String())
	}

	is(0, overload.Normal)
	get("/v1/shelves/1", 200)
	get("/site/page", 200)
}
