package circuitbreaker_test

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/circuitbreaker"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// nowhere is a backend that nothing is asked of.
type nowhere struct{ proxy.Backend }

// TestCompile: Traffic 99, 101, 107: what a policy means, and what is refused.
func TestCompile(t *testing.T) {
	const usual = "opens at 50 % failures of at least 20 calls in 10s, for 5s; closes after 1 that succeed; failures are UNAVAILABLE, UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, DATA_LOSS"
	for _, test := range []struct {
		policy string
		own    bool   // it is written for this method
		want   string // the summary, "" for none; or "!" and the problem
	}{
		{`circuit_breaker {}`, true, usual},
		{`circuit_breaker { consecutive_failures: 7 failure_percent: 10 min_calls: 3 window { seconds: 60 } open_for { seconds: 1 } probes: 4 codes: "INTERNAL" codes: "5002" fallback: "spare" }`, true,
			"opens at 10 % failures of at least 3 calls in 1m, or 7 in a row, for 1s; closes after 4 that succeed; failures are UNAVAILABLE, INTERNAL, 5002; while it is open, spare answers"},
		{`circuit_breaker { codes: "UNAVAILABLE" }`, true, "opens at 50 % failures of at least 20 calls in 10s, for 5s; closes after 1 that succeed; failures are UNAVAILABLE"},
		{`circuit_breaker { failure_percent: 101 }`, true, "!circuit_breaker.failure_percent: found 101, expected 1 to 100"},
		{`circuit_breaker { probes: 1001 }`, true, "!circuit_breaker.probes: found 1001, expected 1 to 1000"},
		{`circuit_breaker { window {} }`, true, "!circuit_breaker.window: found 0s"},
		{`circuit_breaker { open_for { seconds: -1 } }`, true, "!circuit_breaker.open_for: found -1s"},
		{`circuit_breaker { codes: "NOT_FOUND" }`, true, "!circuit_breaker.codes[0]: NOT_FOUND says nothing of the backend"},
		{`circuit_breaker { codes: "OK" }`, true, "!circuit_breaker.codes[0]: OK says nothing"},
		{`circuit_breaker { codes: "INTERNAL" codes: "INTERN" }`, true, `!circuit_breaker.codes[1]: found "INTERN", expected a gRPC code, ABORTED, CANCELLED, `},
		{`circuit_breaker { fallback: "spar" }`, true, `!circuit_breaker.fallback: found "spar", expected the name of an upstream: books, spare; did you mean spare?`},
		{`circuit_breaker { fallback: "books" }`, true, `!circuit_breaker.fallback: found "books", which is where the calls go anyway`},
		{`circuit_breaker { fallback: "books" }`, false, usual},
		{`circuit_breaker { disabled: true }`, true, ""},
	} {
		t.Run(test.policy, func(t *testing.T) {
			config := &transomv1.Config{Upstreams: map[string]*transomv1.Upstream{"books": nil, "spare": nil}}
			b := policytest.NewAuthBench(t, config, circuitbreaker.Kind())
			layers := policytest.LayersOf(t, test.policy)
			layers[0].Exact = test.own
			backends := func(name string) proxy.Backend {
				if name != "spare" {
					return nil
				}
				return nowhere{}
			}
			b.CheckExplained(t, policy.Target{RPC: "p.Books/Get", Upstream: "books", Backends: backends, Layers: layers}, test.want)
		})
	}
}
