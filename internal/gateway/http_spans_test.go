package gateway_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/otlptest"
)

// TestAttemptSpansOfRoutes: Traffic 81: each attempt of a route's request has a span of its own
// below the request's, with its server and the status of its answer, and is the parent of
// what the server does.
func TestAttemptSpansOfRoutes(t *testing.T) {
	var mu sync.Mutex
	var parents []string // of what arrived
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if parents = append(parents, strings.Join(r.Header["Traceparent"], " ")); len(parents) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(site.Close)
	address := strings.TrimPrefix(site.URL, "http://")
	_, port, _ := strings.Cut(address, ":")
	var collector otlptest.Collector
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }, away: { http: { servers: [%q] } }", address, loopback.Address(t)),
		Config: `
routes:
  - { match: { path_prefix: /site }, upstream: site, policy: { retry: { max_attempts: 2 } } }
  - { match: { path_prefix: /away }, upstream: away }
`,
		Traces: collector.OverHTTP(t),
	})
	if a := g.Do(t, "GET", "/site", ""); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if a := g.Do(t, "GET", "/away", ""); a.Status != 502 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if err := g.Telemetry.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var calls, attempts []*tracev1.Span
	for _, span := range collector.Spans() {
		if span.Kind == tracev1.Span_SPAN_KIND_CLIENT {
			attempts = append(attempts, span)
		} else {
			calls = append(calls, span)
		}
	}
	slices.SortFunc(attempts, func(a, b *tracev1.Span) int { return int(a.StartTimeUnixNano) - int(b.StartTimeUnixNano) })
	if len(calls) != 2 || len(attempts) != 3 {
		t.Fatalf("%d requests and %d attempts", len(calls), len(attempts))
	}
	for i, attempt := range attempts {
		if !slices.ContainsFunc(calls, func(call *tracev1.Span) bool { return bytes.Equal(call.SpanId, attempt.ParentSpanId) }) {
			t.Errorf("attempt %d has no request", i)
		}
		said := map[string]string{}
		for _, a := range attempt.Attributes {
			said[a.Key] = a.Value.GetStringValue()
			if a.Value.GetIntValue() != 0 {
				said[a.Key] = fmt.Sprint(a.Value.GetIntValue())
			}
		}
		if i == 2 {
			if said["error.type"] != "UNAVAILABLE" || said["http.response.status_code"] != "" {
				t.Errorf("the attempt at no server says %v", said)
			}
			continue
		}
		if want := fmt.Sprintf("00-%s-%s-01", hex.EncodeToString(attempt.TraceId), hex.EncodeToString(attempt.SpanId)); parents[i] != want {
			t.Errorf("attempt %d: the server has traceparent %s, want %s", i, parents[i], want)
		}
		want := map[string]string{"server.address": "127.0.0.1", "server.port": port, "http.response.status_code": "503", "error.type": "503"}
		if i == 1 {
			want = map[string]string{"server.address": "127.0.0.1", "server.port": port, "http.response.status_code": "200", "transom.attempt": "2"}
		}
		for name, value := range want {
			if said[name] != value {
				t.Errorf("attempt %d: %s is %q, want %q", i, name, said[name], value)
			}
		}
		if said["rpc.method"] != "" || said["rpc.response.status_code"] != "" {
			t.Errorf("attempt %d: %v", i, said)
		}
	}
}
