package retry_test

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/retry"
)

// TestCompileRoute: Traffic 79: what a policy means on a plain HTTP route, and what is
// refused there. What is said for all methods and routes is no mistake.
func TestCompileRoute(t *testing.T) {
	const (
		usual = "up to 3 attempts of GET, HEAD, OPTIONS, TRACE, PUT and DELETE, on broken connections and 502, 503, 504; pauses 25ms to 250ms, at most 20 % of the upstream's requests"
		any   = "up to 3 attempts of any method, on broken connections and 502, 503, 504; pauses 25ms to 250ms, at most 20 % of the upstream's requests"
	)
	for _, test := range []struct {
		policy string
		own    bool   // it is written for this route
		want   string // the summary, "" for no retries; or "!" and the problem
	}{
		{`retry {}`, true, usual},
		{`retry {}`, false, usual},
		{`retry { idempotency_level: "IDEMPOTENT" }`, true, any},
		{`retry { max_attempts: 5 codes: "408" codes: "425" codes: "429" codes: "500" codes: "599" codes: "503" codes: "408" per_try_timeout { seconds: 1 } budget_percent: 0 }`, true,
			"up to 5 attempts of GET, HEAD, OPTIONS, TRACE, PUT and DELETE, on broken connections and 502, 503, 504, 408, 425, 429, 500, 599; pauses 25ms to 250ms, at most 0 % of the upstream's requests; 1s each"},
		{`retry { codes: "UNAVAILABLE" }`, true, `!retry.codes[0]: found "UNAVAILABLE", expected a status of HTTP, as this is a plain HTTP route: 408, 425, 429 or 500 to 599; did you mean 503?`},
		{`retry { codes: "500" codes: "ABORTED" }`, true, `!retry.codes[1]: found "ABORTED", expected a status of HTTP, as this is a plain HTTP route: 408, 425, 429 or 500 to 599`},
		{`retry { codes: "404" }`, true, `!retry.codes[0]: found "404", expected a status of HTTP`},
		{`retry { codes: "499" }`, true, `!retry.codes[0]: found "499", expected a status of HTTP`},
		{`retry { codes: "600" }`, true, `!retry.codes[0]: found "600", expected a status of HTTP`},
		{`retry { codes: "65944" }`, true, `!retry.codes[0]: found "65944", expected a status of HTTP`},
		{`retry { codes: "ABORTED" codes: "5002" codes: "429" }`, false,
			"up to 3 attempts of GET, HEAD, OPTIONS, TRACE, PUT and DELETE, on broken connections and 502, 503, 504, 429; pauses 25ms to 250ms, at most 20 % of the upstream's requests"},
		{`retry { hedge_after { seconds: 1 } }`, true, "!retry.hedge_after: attempts side by side are for methods of gRPC"},
		{`retry { hedge_percentile: 95 }`, true, "!retry.hedge_percentile: attempts side by side are for methods of gRPC"},
		{`retry { hedge_percentile: 95 hedge_after { seconds: 1 } }`, false, usual},
		{`retry { max_attempts: 1 }`, true, ""},
		{`retry { max_attempts: 11 }`, true, "!retry.max_attempts: found 11, expected 2 to 10"},
		{`retry { disabled: true }`, true, ""},
	} {
		t.Run(test.policy, func(t *testing.T) {
			b := policytest.NewAuthBench(t, nil, retry.Kind())
			layers := policytest.LayersOf(t, test.policy)
			layers[0].Exact = test.own
			b.CheckExplained(t, policy.Target{PlainHTTP: true, RPC: "/shop/**", Upstream: "shop", Layers: layers}, test.want)
		})
	}
}
