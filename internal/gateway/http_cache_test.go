package gateway_test

import (
	"fmt"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/cachecases"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestRouteCache: Traffic 131: a route with the policy cache is a shared cache by RFC 9111, by
// the table that others' caches are held to.
func TestRouteCache(t *testing.T) {
	origin := cachecases.Start(t)
	g := startCachedRoute(t, origin.Address, "{}", "")
	for _, c := range cachecases.All() {
		t.Run(c.Name, func(t *testing.T) { origin.Run(t, cachecases.Transom, g.Client, g.URL, c) })
	}
}

// startCachedRoute starts a gateway whose one route has the policy cache and goes to an
// address. more is added to the route's policy.
func startCachedRoute(t testing.TB, address, cache, more string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", address),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site, policy: { cache: " + cache + more + " } }]",
	})
}
