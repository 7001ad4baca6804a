package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestExplainAgreesWithTheServer sends each request and asks Explain about it: what one
// of them refuses the other refuses with the same status.
func TestExplainAgreesWithTheServer(t *testing.T) {
	served := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		for stream.RecvMsg(&emptypb.Empty{}) == nil {
			continue // to the half-close
		}
		return stream.SendMsg(&emptypb.Empty{})
	})
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: served, NoBookstore: true,
		Protos: map[string]string{"thing/v1/thing.proto": thingProto, "shown/v1/shown.proto": `syntax = "proto3";
package shown.v1;
import "google/api/annotations.proto";
service Desk { rpc Ask(Question) returns (Question) { option (google.api.http) = { get: "/v1/desk/{id}" }; } }
message Question { int32 id = 1; string text = 2; }
`}})
	socket := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	for _, test := range []struct {
		method, target, body string
		headers              []string
	}{
		{"GET", "/v1/desk/1", "", nil},
		{"GET", "/v1/desk/many", "", nil},
		{"GET", "/v1/desk/1?text=a", "", nil},
		{"GET", "/v1/desk/1?nothing=a", "", nil},
		{"GET", "/v1/desk/1?text=a&text=b", "", nil},
		{"GET", "/v1/desk/%zz", "", nil},
		{"HEAD", "/v1/desk/1", "", nil},
		{"POST", "/v1/desk/1", "", nil},
		{"OPTIONS", "/v1/desk/1", "", nil},
		{"GET", "/v1/nothing", "", nil},
		{"GET", "/v1/feed?code=x", "", nil},
		{"GET", "/v1/feed", "", nil},
		{"POST", "/v1/things", `{"code":0}`, nil},
		{"POST", "/v1/things", `{"code":`, nil},
		{"POST", "/v1/things", `{"unknown":1}`, nil},
		{"POST", "/v1/things", `x`, []string{"Content-Type", "text/plain"}},
		{"POST", "/v1/things", `{}`, []string{"X-Request-Timeout", "soon"}},
		{"POST", "/v1/collect", `{}{"code":`, nil},
		{"GET", "/thing.v1.Things/Make", "", nil},
		{"GET", "/thing.v1.Things/Make?connect=v1&encoding=json&message={}", "", nil},
		{"GET", "/thing.v1.Things/Make?connect=v1&encoding=json&message={x}", "", nil},
		{"POST", "/thing.v1.Things/Make", `{}`, []string{"Content-Type", "application/json"}},
		{"POST", "/thing.v1.Things/Make", `{`, []string{"Content-Type", "application/json", "Connect-Protocol-Version", "1"}},
		{"POST", "/thing.v1.Things/None", `{}`, []string{"Content-Type", "application/json", "Connect-Protocol-Version", "1"}},
		{"POST", "/thing.v1.Things/Make", "", []string{"Content-Type", "application/grpc-web+proto"}},
		{"PUT", "/thing.v1.Things/Make", "", nil},
		{"GET", "/thing.v1.Things/Make", "", socket},
		{"GET", "/v1/feed", "", socket},
		{"GET", "/v1/desk/1", "", socket},
		{"GET", "/thing.v1.Things/None", "", socket},
	} {
		t.Run(test.method+" "+test.target+" "+test.body+" "+strings.Join(test.headers, " "), func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), test.method, g.URL+test.target, strings.NewReader(test.body))
			if err != nil {
				if strings.Contains(test.target, "%zz") {
					return // no client can send it
				}
				t.Fatal(err)
			}
			for i := 0; i < len(test.headers); i += 2 {
				request.Header.Set(test.headers[i], test.headers[i+1])
			}
			asked := request.Clone(t.Context())
			asked.Body, asked.RequestURI = io.NopCloser(strings.NewReader(test.body)), test.target
			verdict := g.Explain(asked)
			answer, err := g.Client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			refused := answer.StatusCode >= 400
			if refused == verdict.Accepted && answer.Header.Get("Grpc-Status") == "" || refused && verdict.Status != answer.StatusCode {
				t.Errorf("the server says %d; explained: accepted %v, %d\n%s", answer.StatusCode, verdict.Accepted, verdict.Status, verdict.Report)
			}
		})
	}
}

// TestExplainDroppedBody: Semantics 311: a body that the rule does not take is dropped,
// and explain says so.
func TestExplainDroppedBody(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for _, test := range []struct {
		method, target, body string
		dropped              bool
	}{
		{"GET", "/v1/shelves/1", `{"name":"shelves/2"}`, true},
		{"GET", "/v1/shelves/1", "", false},
		{"GET", "/v1/shelves/1/books:watch", "{}", true},
		{"POST", "/v1/shelves", `{"theme":"x"}`, false},
		{"POST", "/bookstore.v1.BookstoreService/GetShelf", `{"name":"shelves/1"}`, false},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, g.URL+test.target, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.RequestURI = test.target
		if v := g.Explain(request); !v.Accepted || strings.Contains(v.Report, "body       dropped: the rule takes none") != test.dropped {
			t.Errorf("%s %s with %q: accepted %v\n%s", test.method, test.target, test.body, v.Accepted, v.Report)
		}
	}
}

// TestExplainByMethod: Traffic 82, 131: a policy of a route that is nothing to requests of a method is
// explained so.
func TestExplainByMethod(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: `site: { http: { servers: ["127.0.0.1:1"] } }`,
		Config: `
routes:
  - { match: { path: /shop }, upstream: site, policy: { idempotency_key: { scope: METHOD }, cache: { ttl: 60s }, timeout: 3600s } }
`,
	})
	for method, want := range map[string][]string{
		"GET":  {"idempotency_key: nothing for GET: keys are for POST and PATCH", "cache: by RFC 9111, for as long as", "else 1m", "timeout: 1h ("},
		"POST": {"idempotency_key: the answer to each key is kept for 24h; ", "cache: not for POST: one that succeeds has what is kept of its URI dropped"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), method, g.URL+"/shop", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		report := g.Explain(r).Report
		for _, want := range want {
			if !strings.Contains(report, want) {
				t.Errorf("%s: %q is not in\n%s", method, want, report)
			}
		}
		if strings.Count(report, "timeout") != 1 {
			t.Errorf("%s: the timeout is not there once:\n%s", method, report)
		}
	}
}
