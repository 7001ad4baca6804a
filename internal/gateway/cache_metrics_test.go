package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestCacheMetrics: Traffic 120: metrics tell how full the memory of answers is, those of
// methods and those of routes, and how many were dropped for want of it.
func TestCacheMetrics(t *testing.T) {
	metric := func(g *gatewaytest.Gateway, name string) (value float64, ok bool) {
		for line := range strings.Lines(metricsOf(g)) {
			if _, err := fmt.Sscanf(line, "transom_cache_"+name+" %g", &value); err == nil {
				return value, true
			}
		}
		return 0, false
	}
	want := func(t *testing.T, g *gatewaytest.Gateway, name string, want func(float64) bool) {
		t.Helper()
		if got, ok := metric(g, name); !ok || !want(got) {
			t.Errorf("transom_cache_%s is %v, %v", name, got, ok)
		}
	}
	is := func(n float64) func(float64) bool { return func(got float64) bool { return got == n } }

	t.Run("methods", func(t *testing.T) {
		s := &taggedServer{}
		s.set(strings.Repeat("x", 100<<10), metadata.Pairs("vary", "x-who"))
		g := s.startWith(t, strings.Replace(taggedProto, "validators_only: true", "ttl { seconds: 60 }", 1), "cache: { max_bytes: 1048576 }")
		want(t, g, "entries", is(0))
		want(t, g, "bytes", is(0))
		want(t, g, "max_bytes", is(1048576))
		g.Do(t, "GET", "/v1/read", "", "X-Who", "0")
		want(t, g, "entries", is(2)) // the answer, and what answers vary by
		want(t, g, "bytes", func(n float64) bool { return n > 100<<10 && n < 110<<10 })
		g.Do(t, "GET", "/v1/read", "", "X-Who", "0")
		want(t, g, "bytes", func(n float64) bool { return n > 200<<10 && n < 210<<10 }) // its JSON, too
		want(t, g, "evictions_total", is(0))
		for i := range 20 {
			g.Do(t, "GET", "/v1/read", "", "X-Who", fmt.Sprint(i))
		}
		want(t, g, "bytes", func(n float64) bool { return n > 800<<10 && n <= 1<<20 })
		want(t, g, "evictions_total", func(n float64) bool { return n >= 10 && n < 20 })
		if _, _, err := g.PurgeCache("", "", ""); err != nil {
			t.Fatal(err)
		}
		want(t, g, "entries", is(0))
		want(t, g, "bytes", is(0))
	})
	t.Run("routes", func(t *testing.T) {
		address, _ := counting(t, "Cache-Control", "max-age=60")
		g := startCachedRoute(t, address, "{}", "")
		g.Do(t, "GET", "/a", "")
		want(t, g, "entries", is(1))
		want(t, g, "max_bytes", is(64<<20))
	})
	t.Run("without the policy", func(t *testing.T) {
		g := gatewaytest.Start(t, gatewaytest.Options{})
		if _, ok := metric(g, "entries"); ok {
			t.Error("there is a metric of answers, but nothing keeps any")
		}
	})
}

// TestKeyMetrics: Traffic 95: metrics tell how full the memory of keys is.
func TestKeyMetrics(t *testing.T) {
	backend := grpctest.ServeAny(t, sameServer)
	g := gatewaytest.Start(t, gatewaytest.Options{NoBookstore: true, Backend: backend, Protos: map[string]string{"same.proto": sameProto}, Config: "idempotency: { max_bytes: 1048576 }"})
	metric := func(name string) (value float64) {
		for line := range strings.Lines(metricsOf(g)) {
			if _, err := fmt.Sscanf(line, "transom_idempotency_"+name+" %g", &value); err == nil {
				return value
			}
		}
		return -1
	}
	if metric("keys") != 0 || metric("bytes") != 0 || metric("max_bytes") != 1<<20 {
		t.Errorf("there are keys before a call: %s", metricsOf(g))
	}
	for i := range 3 {
		g.Do(t, "POST", "/v1/write", fmt.Sprintf(`{"name":"long %d"}`, i%2), "Idempotency-Key", fmt.Sprint(i%2), "Content-Type", "application/json")
	}
	if n := metric("bytes"); metric("keys") != 2 || n < 2000 || n > 10_000 {
		t.Errorf("%v keys, %v bytes", metric("keys"), n)
	}
	if without := gatewaytest.Start(t, gatewaytest.Options{}); strings.Contains(metricsOf(without), "transom_idempotency_") {
		t.Error("there are metrics of keys, but no policy")
	}
}
