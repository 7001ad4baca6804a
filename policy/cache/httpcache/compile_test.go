package httpcache_test

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/httpcache"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestCompile: Traffic 131: what the policy means on a plain HTTP route, and what of it is for
// methods.
func TestCompile(t *testing.T) {
	const usual = "by RFC 9111, for as long as an answer's Cache-Control or Expires says"
	for _, test := range []struct {
		policy, upstream string
		own              bool   // it is written for this route
		want             string // the summary, "" for none; or "!" and the problem
	}{
		{`cache {}`, "shop", true, usual + "; shared by all callers"},
		{`cache { ttl { seconds: 60 } not_found_ttl { seconds: 5 } vary: "x-b" vary: "X-A" vary: "x-a" stale_while_revalidate { seconds: 9 } stale_if_error { seconds: 600 } }`, "shop", true,
			usual + ", else 1m, 404 and 410 5s; shared by all callers; varies by X-A, X-B; stale for 9s while a new one is fetched; stale for 10m where the server fails"},
		{`cache {}`, "", true, "!cache: the gateway itself answers the route: remove it"},
		{`cache {}`, "", false, ""},
		{`cache { tags: "a:{b}" }`, "shop", true, "!cache.tags: it is for gRPC methods, and this is a plain HTTP route, where the tag of an answer is its URI: remove it"},
		{`cache { invalidates: "a:{b}" }`, "shop", true, "!cache.invalidates: it is for gRPC methods"},
		{`cache { validators_only: true }`, "shop", true, "!cache.validators_only: it is for gRPC methods"},
		{`cache { tags: "a:{b}" }`, "shop", false, usual + "; shared by all callers"},
		{`cache { vary: "a b" }`, "shop", true, `!cache.vary[0]: found "a b", expected the name of a header`},
		{`cache { ttl { seconds: 99999999 } }`, "shop", true, "!cache.ttl: found 27777h46m39s, expected a time above 0s and up to 8760h (365 days)"},
		{`cache { scope: PRINCIPAL }`, "shop", true, "!cache.scope: found PRINCIPAL, but callers of the route do not prove who they are: set auth, or scope PUBLIC"},
		{`cache { scope: PRINCIPAL }`, "shop", false, ""},
		{`cache { store: REDIS }`, "shop", true, "!cache.store: found REDIS, expected MEMORY, which answers of plain HTTP routes are kept in"},
		{`cache { store: REDIS }`, "shop", false, usual + "; shared by all callers"},
	} {
		t.Run(test.policy, func(t *testing.T) {
			plain := &transomv1.Upstream{Kind: &transomv1.Upstream_Http{Http: &transomv1.HttpUpstream{}}}
			b := policytest.NewAuthBench(t, &transomv1.Config{Upstreams: map[string]*transomv1.Upstream{"shop": plain}}, httpcache.Kind())
			layers := policytest.LayersOf(t, test.policy)
			layers[0].Exact = test.own
			b.CheckExplained(t, policy.Target{PlainHTTP: true, RPC: "/shop/**", Upstream: test.upstream, Layers: layers}, test.want)
		})
	}
}
