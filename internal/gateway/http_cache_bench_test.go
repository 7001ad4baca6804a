package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// BenchmarkRouteCache compares requests of a route that are answered from memory with those of
// one that has no cache, through a whole gateway.
func BenchmarkRouteCache(b *testing.B) {
	address, _ := counting(b, "Cache-Control", "max-age=3600")
	g := gatewaytest.Start(b, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", address),
		Config:    `routes: [{ match: { path_prefix: /hit }, upstream: site, policy: { cache: {} } }, { match: { path_prefix: /miss }, upstream: site }]`,
	})
	for _, path := range []string{"/hit", "/miss"} {
		b.Run(path[1:], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), "GET", g.URL+path, nil)
				if err != nil {
					b.Fatal(err)
				}
				response, err := g.Client.Do(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body) // the status says it
				_ = response.Body.Close()
			}
		})
	}
}
