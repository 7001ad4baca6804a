package circuitbreaker_test

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/circuitbreaker"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// TestCompileRoute: Traffic 99, 107: what a policy means on a plain HTTP route: its codes
// are statuses of HTTP, its fallback is an upstream of plain HTTP.
func TestCompileRoute(t *testing.T) {
	const usual = "opens at 50 % failures of at least 20 calls in 10s, for 5s; closes after 1 that succeed; failures are 500 to 599 but 501"
	for _, test := range []struct {
		policy string
		own    bool   // it is written for this route
		want   string // the summary, "" for none; or "!" and the problem
	}{
		{`circuit_breaker {}`, true, usual},
		{`circuit_breaker { codes: "429" codes: "500" codes: "503" fallback: "spare" }`, true,
			"opens at 50 % failures of at least 20 calls in 10s, for 5s; closes after 1 that succeed; failures are 502, 503, 504, 429, 500; while it is open, spare answers"},
		{`circuit_breaker { codes: "INTERNAL" }`, true, `!circuit_breaker.codes[0]: found "INTERNAL", expected a status of HTTP, as this is a plain HTTP route: 429 or 500 to 599; did you mean 500?`},
		{`circuit_breaker { codes: "404" }`, true, `!circuit_breaker.codes[0]: found "404", expected a status of HTTP`},
		{`circuit_breaker { codes: "INTERNAL" }`, false, usual},
		{`circuit_breaker { fallback: "books" }`, true, `!circuit_breaker.fallback: found "books", which is a gRPC upstream; expected one of plain HTTP`},
		{`circuit_breaker { fallback: "books" }`, false, usual},
		{`circuit_breaker { fallback: "shop" }`, true, `!circuit_breaker.fallback: found "shop", which is where the calls go anyway`},
		{`circuit_breaker { fallback: "spar" }`, true, `!circuit_breaker.fallback: found "spar", expected the name of an upstream: books, shop, spare; did you mean spare?`},
	} {
		t.Run(test.policy, func(t *testing.T) {
			b := policytest.NewAuthBench(t, upstreams(), circuitbreaker.Kind())
			layers := policytest.LayersOf(t, test.policy)
			layers[0].Exact = test.own
			b.CheckExplained(t, policy.Target{PlainHTTP: true, RPC: "/shop/**", Upstream: "shop", Layers: layers}, test.want)
		})
	}
}

func upstreams() *transomv1.Config {
	plain := &transomv1.Upstream{Kind: &transomv1.Upstream_Http{Http: &transomv1.HttpUpstream{}}}
	grpc := &transomv1.Upstream{Kind: &transomv1.Upstream_Grpc{Grpc: &transomv1.GrpcUpstream{}}}
	return &transomv1.Config{Upstreams: map[string]*transomv1.Upstream{"books": grpc, "shop": plain, "spare": plain}}
}

// TestFallbackOfMethod: Traffic 107: an upstream of plain HTTP does not answer for a method
// of gRPC; where it was said for routes, too, it is no mistake.
func TestFallbackOfMethod(t *testing.T) {
	for own, want := range map[bool]string{
		true:  `!circuit_breaker.fallback: found "spare", which is a plain HTTP upstream; expected one of gRPC`,
		false: "opens at 50 % failures of at least 20 calls in 10s, for 5s; closes after 1 that succeed; failures are UNAVAILABLE, UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, DATA_LOSS",
	} {
		b := policytest.NewAuthBench(t, upstreams(), circuitbreaker.Kind())
		layers := policytest.LayersOf(t, `circuit_breaker { fallback: "spare" }`)
		layers[0].Exact = own
		b.CheckExplained(t, policy.Target{RPC: "p.Books/Get", Upstream: "books", Backends: func(string) proxy.Backend { return nil }, Layers: layers}, want)
	}
}
