package gateway_test

import (
	"strings"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestNoEventsOfCalls: Events 203: there is no event of a health check, of OPTIONS, of what brings events of pages, of the
// script for pages and of a request that no route takes; there is one of any other call.
func TestNoEventsOfCalls(t *testing.T) {
	recorder := new(eventtest.Recorder)
	g := gatewaytest.Start(t, gatewaytest.Options{Events: recorder, Config: `
defaults: { cors: { allowed_origins: ["https://shop.example"] } }
events:
  gateway: [{ type: api.request }, { type: api.response }, { type: api.error }]
  behaviour: { beacon: /e, script: /transom.js, origins: ["` + shop + `"] }
`})
	if _, err := healthpb.NewHealthClient(grpctest.Dial(t, g.Addr)).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	preflight := []string{"Origin", shop, "Access-Control-Request-Method", "GET"}
	for _, test := range []struct {
		method, path, body string
		headers            []string
		want               int
	}{
		{"POST", "/v1/events", click, nil, 200},
		{"POST", "/v1/events:batch", `{"events": [` + click + `]}`, nil, 200},
		{"POST", "/transom.v1.EventService/Publish", `{"event": ` + click + `}`, nil, 200},
		{"POST", "/e", click, []string{"Origin", shop}, 204},
		{"GET", "/transom.js", "", nil, 200},
		{"OPTIONS", "/v1/shelves/1", "", preflight, 204},
		{"GET", "/nowhere", "", nil, 404},
		{"GET", "/v1/shelves/1", "", nil, 200},
	} {
		if a := g.Do(t, test.method, test.path, test.body, test.headers...); a.Status != test.want {
			t.Errorf("%s %s: %v", test.method, test.path, a)
		}
	}
	var got []string
	for _, e := range recorder.Wait(t, 6) {
		if strings.HasPrefix(e.Type, "api.") {
			got = append(got, e.Type+" of "+e.Source)
		}
	}
	const source = " of /transom/bookstore.v1.BookstoreService/GetShelf"
	if strings.Join(got, ", ") != "api.request"+source+", api.response"+source {
		t.Errorf("got %q", got)
	}
}
