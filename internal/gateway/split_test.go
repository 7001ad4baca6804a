package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const splitProto = `syntax = "proto3";
package parted.v1;
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
service Service {
  rpc Read(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/read" };
  }
  rpc Watch(google.protobuf.Empty) returns (stream google.protobuf.Empty) {
    option (google.api.http) = { get: "/v1/watch" };
  }
}`

// metricsOf is what a scrape tells.
func metricsOf(g *gatewaytest.Gateway) string {
	scrape := httptest.NewRecorder()
	g.Telemetry.Metrics.Handler().ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	return scrape.Body.String()
}

// TestSplitMethods: Traffic 203, 204: calls by every protocol and streams are spread over
// upstreams, attempts and breakers are those of the branch, and metrics and log name it.
func TestSplitMethods(t *testing.T) {
	stable, stableAt := startSick(t)
	canary, canaryAt := startSick(t)
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"parted.proto": splitProto}, Log: &log,
		Backend: stableAt, Upstreams: fmt.Sprintf("stable: { grpc: { target: %q } }, canary: { grpc: { target: %q } }", stableAt, canaryAt),
		Config: `
policies:
  - selector: "parted.v1.Service.*"
    policy:
      retry: { initial_backoff: 0.001s, codes: [UNAVAILABLE] }
      circuit_breaker: { consecutive_failures: 3, open_for: 3600s }
      split: { branches: [{ upstream: stable, weight: 1 }, { upstream: canary, weight: 0, match: { header: X-Canary, value: always } }] }
`})
	hand := []string{"X-Canary", "always"}
	for path, headers := range map[string][]string{"/v1/read": nil, "/v1/watch": nil, "/parted.v1.Service/Read": {"Content-Type", "application/json", "Connect-Protocol-Version", "1"}} {
		method, body := "GET", ""
		if len(headers) > 0 {
			method, body = "POST", "{}"
		}
		for range 3 {
			if a := g.Do(t, method, path, body, headers...); a.Status != 200 {
				t.Fatalf("%s: %d %s", path, a.Status, a.Body)
			}
		}
		if a, b := len(stable.again(0, "")), len(canary.again(0, "")); a != 3 || b != 0 {
			t.Errorf("%s: %d calls at stable, %d at canary", path, a, b)
		}
		if a := g.Do(t, method, path, body, append(headers, hand...)...); a.Status != 200 {
			t.Fatalf("%s: %d %s", path, a.Status, a.Body)
		}
		if a, b := len(stable.again(0, "")), len(canary.again(0, "")); a != 0 || b != 1 {
			t.Errorf("%s by hand: %d calls at stable, %d at canary", path, a, b)
		}
	}
	canary.again(3, "")
	if a := g.Do(t, "GET", "/v1/read", "", hand...); a.Status != 503 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a, b := len(stable.again(0, "")), len(canary.again(0, "")); a != 0 || b != 3 {
		t.Errorf("attempts: %d at stable, %d at canary", a, b)
	}
	if a := g.Do(t, "GET", "/v1/read", "", hand...); a.Status != 503 || !strings.Contains(a.Body, "CIRCUIT_OPEN") || !strings.Contains(a.Body, `"upstream":"canary"`) {
		t.Errorf("the canary's breaker: %d %s", a.Status, a.Body)
	}
	if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 200 {
		t.Errorf("the other branch: %d %s", a.Status, a.Body)
	}
	poll.Until(t, "the log names the branches", func() bool {
		return strings.Contains(log.String(), `"branch":"stable"`) && strings.Contains(log.String(), `"branch":"canary"`)
	})
	metrics := metricsOf(g)
	for _, want := range []string{
		`transom_branch_requests_total{branch="canary",code="UNAVAILABLE",rpc="parted.v1.Service/Read"} 2`,
		`transom_branch_requests_total{branch="canary",code="OK",rpc="parted.v1.Service/Watch"} 1`,
		`transom_branch_request_duration_seconds_count{branch="canary",rpc="parted.v1.Service/Watch"} 1`,
		`transom_circuit_state{rpc="parted.v1.Service/Read",upstream="canary"} 2`,
		`transom_circuit_state{rpc="parted.v1.Service/Read",upstream="stable"} 0`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestSplitNotReady: Traffic 203: a branch whose servers cannot be reached gives its share
// to the others, counted, unless the split is strict.
func TestSplitNotReady(t *testing.T) {
	_, stableAt := startSick(t)
	for _, strict := range []bool{false, true} {
		g := gatewaytest.Start(t, gatewaytest.Options{
			NoBookstore: true, Protos: map[string]string{"parted.proto": splitProto}, Backend: stableAt,
			Upstreams: fmt.Sprintf("stable: { grpc: { target: %q } }, away: { grpc: { target: %q } }", stableAt, loopback.Address(t)),
			Config: fmt.Sprintf(`
policies: [{ selector: "*", policy: { split: { strict: %t, branches: [{ upstream: away, weight: 1 }, { upstream: stable, weight: 0 }, { upstream: stable, name: rest, weight: 1 }], header: X-User } } }]
`, strict)})
		poll.Until(t, "the upstream away fails", func() bool { return strings.Contains(fmt.Sprint(g.Upstreams()), "TRANSIENT_FAILURE") })
		failed := 0
		for n := range 40 {
			if a := g.Do(t, "GET", "/v1/read", "", "X-User", fmt.Sprint(n)); a.Status != 200 {
				failed++
			}
		}
		if (failed > 0) != strict || failed == 40 {
			t.Errorf("strict %t: %d of 40 calls failed", strict, failed)
		}
		counted := strings.Contains(metricsOf(g), `transom_branch_not_ready_total{branch="away",rpc="parted.v1.Service/Read"} 0`)
		if counted != strict {
			t.Errorf("strict %t: the metrics:\n%s", strict, metricsOf(g))
		}
	}
}

// TestSplitRoutes: Traffic 203, 204, 210: requests of routes are spread over plain HTTP upstreams.
func TestSplitRoutes(t *testing.T) {
	site := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s %q", name, r.Header["X-Version"])
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("old: { http: { servers: [%q] } }, new: { http: { servers: [%q] } }", site("old"), site("new")),
		Config: `
routes:
  - match: { path_prefix: / }
    policy: { split: { header: X-User, branches: [{ upstream: old, weight: 3 }, { upstream: new, weight: 1, headers: { X-Version: "2" }, match: { cookie: beta } }] } }
  - { match: { path: /none }, policy: { split: { branches: [{ upstream: old, weight: 0 }] } } }
`})
	seen := map[string]int{}
	for n := range 40 {
		first := g.Do(t, "GET", "/x", "", "X-User", fmt.Sprint(n), "X_Version", "forged", "X-Version", "forged").Body
		if again := g.DoWith(t, g.HTTP2, "POST", "/y", "body", "X-User", fmt.Sprint(n), "X-Version", "forged").Body; again != first {
			t.Errorf("user %d: %s, then %s", n, first, again)
		}
		seen[first]++
	}
	if len(seen) != 2 || seen[`old ["forged"]`] < 20 || seen[`new ["2"]`] < 3 {
		t.Errorf("%v", seen)
	}
	if a := g.Do(t, "GET", "/x", "", "Cookie", "beta=1"); a.Body != `new ["2"]` {
		t.Errorf("by hand: %s", a.Body)
	}
	if a := g.Do(t, "GET", "/none", ""); a.Status != 503 || !strings.Contains(a.Body, "NO_BRANCH") {
		t.Errorf("weights of 0: %d %s", a.Status, a.Body)
	}
	report := g.Gateway.Explain(httptest.NewRequest("GET", "/x", nil)).Report
	for _, want := range []string{"upstream   old,new\n", "split: old 75 %, new 25 % and those with the cookie beta; by the header x-user"} {
		if !strings.Contains(report, want) {
			t.Errorf("there is no %q in\n%s", want, report)
		}
	}
	for _, r := range g.Routes() {
		if r.Path == "/**" && (r.Upstream != "old,new" || strings.Join(r.Policies, ",") != "split") {
			t.Errorf("%+v", r)
		}
	}
}
