package gateway_test

import (
	"bytes"
	"fmt"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/otlptest"
)

const lookIsCached = "\npolicies: [{ selector: places.v1.Places.Look, policy: { cache: { ttl: 60s } } }]\n"

// TestMissKeepsItsPlace: Traffic 124, 166, 167: the backend call of a miss, which belongs to
// all who ask for the same, is made where that of the first who asked would be.
func TestMissKeepsItsPlace(t *testing.T) {
	t.Run("by hash", func(t *testing.T) {
		g, _ := placesGateway(t, 4, `{ hash: { header: x-tenant } }`, lookIsCached)
		for i := range 10 {
			tenant := []string{"X-Tenant", fmt.Sprint("tenant ", i)}
			want := g.Do(t, "GET", "/v1/get/x", "", tenant...).Body
			for j := range 5 {
				if a := g.Do(t, "GET", fmt.Sprintf("/v1/look/%d-%d", i, j), "", tenant...); a.Body != want {
					t.Errorf("a miss is answered by %s, others by %s", a.Body, want)
				}
			}
		}
	})
	t.Run("by cookie", func(t *testing.T) {
		g, servers := placesGateway(t, 4, `{ sticky: { cookie: stuck, secret: 0123456789abcdef0123456789abcdef } }`, lookIsCached)
		first := g.Do(t, "GET", "/v1/get/x", "")
		sent := []string{"Cookie", "stuck=" + cookieOf(t, first.Header).Value}
		for i := range 8 {
			a := g.Do(t, "GET", fmt.Sprint("/v1/look/", i), "", sent...)
			if a.Body != first.Body || cookieOf(t, a.Header) != nil {
				t.Errorf("%s answers a miss, the client's is %s", a.Body, first.Body)
			}
		}
		a := g.Do(t, "GET", "/v1/look/a", "")
		if c := cookieOf(t, a.Header); c == nil {
			t.Error("the answer to a miss sets no cookie")
		}
		// Traffic 116: the cookie is the gateway's own: no backend sees it, and answers are shared.
		for _, server := range servers {
			server.Stop()
		}
		if a := g.Do(t, "GET", "/v1/look/1", "", sent...); a.Status != 200 {
			t.Errorf("a client with the gateway's cookie gets no answer that is kept: %d %s", a.Status, a.Body)
		}
	})
}

// TestMissHasItsSpan: Traffic 81, 124: the attempts of a miss are below the call of the one
// who asked first.
func TestMissHasItsSpan(t *testing.T) {
	_, target := startNamedServers(t, 1)
	var collector otlptest.Collector
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: target, NoBookstore: true, Protos: map[string]string{"places.proto": placesProto}, Traces: collector.OverHTTP(t), Config: lookIsCached,
	})
	for range 2 {
		if a := g.Do(t, "GET", "/v1/look/a", ""); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
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
	if len(calls) != 2 || len(attempts) != 1 {
		t.Fatalf("%d calls and %d attempts, expected 2 and 1", len(calls), len(attempts))
	}
	if !bytes.Equal(attempts[0].ParentSpanId, calls[0].SpanId) && !bytes.Equal(attempts[0].ParentSpanId, calls[1].SpanId) {
		t.Error("the attempt has no call")
	}
}
