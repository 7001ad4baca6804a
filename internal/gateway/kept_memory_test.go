package gateway_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestKeptMemory: Traffic 95, 120: max_bytes bounds the memory that small answers take, with all that
// the gateway makes for each of them, and not their messages alone.
//
//transom:norace
func TestKeptMemory(t *testing.T) {
	const bound = 8 << 20
	backend, _ := counting(t, "Cache-Control", "max-age=3600")
	for name, c := range map[string]struct {
		config, method, path string
		key                  bool
		part                 int64  // of the bound that one caller may take: 1/part
		full                 string // the metric that tells that more was asked for than there is room; keys are refused then
	}{
		"cache of methods": {config: "cache: { max_bytes: %d }", method: "GET", path: "/v1/read/", part: 1, full: "transom_cache_evictions_total"},
		"cache of routes": {
			config: "cache: { max_bytes: %d }\nroutes: [{ match: { path_prefix: /plain/ }, upstream: site, policy: { cache: {} } }]",
			method: "GET", path: "/plain/", part: 1, full: "transom_cache_evictions_total",
		},
		"keys": {config: "idempotency: { max_bytes: %d }", method: "POST", path: "/v1/write", key: true, part: 10},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{
				NoBookstore: true, Backend: grpctest.ServeAny(t, sameServer), Protos: map[string]string{"same.proto": sameProto},
				Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", backend),
				Config:    fmt.Sprintf(c.config, bound) + "\ntelemetry: { log: { access: false } }",
			})
			refused := 0
			ask := func(name string) {
				for range 3 { // the first is a call, and what is asked for again is kept in its form
					path, body := c.path+name, ""
					if c.key {
						path, body = c.path, fmt.Sprintf(`{"name":%q}`, name)
					}
					request, err := http.NewRequestWithContext(t.Context(), c.method, g.URL+path, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					request.RemoteAddr, request.RequestURI = "127.0.0.1:1", path
					if c.key {
						request.Header.Set("Idempotency-Key", name)
						request.Header.Set("Content-Type", "application/json")
					}
					w := &unreadAnswer{header: http.Header{}}
					switch g.ServeHTTP(w, request); max(w.status, http.StatusOK) {
					case http.StatusOK:
					case http.StatusServiceUnavailable, http.StatusConflict: // no room for a key, or for the answer to one
						refused++
					default:
						t.Fatalf("%s: %d", name, w.status)
					}
				}
			}
			live := func() int64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc) //nolint:gosec // it is no exabyte
			}
			full := func() bool {
				var n float64
				for line := range strings.Lines(metricsOf(g)) {
					if rest, ok := strings.CutPrefix(line, c.full+" "); ok && c.full != "" {
						_, _ = fmt.Sscan(rest, &n)
					}
				}
				return n > 1000 || refused > 0
			}
			for i := range 100 {
				ask(fmt.Sprint("first-", i))
			}
			before := live()
			for i := 0; !full(); i++ {
				for j := range 500 {
					ask(fmt.Sprint(i, "-", j))
				}
			}
			after := live()
			t.Logf("%.2f of the bound", float64((after-before)*c.part)/bound)
			if after-before > bound/c.part*9/8 {
				t.Errorf("the heap has grown by %d bytes, for a bound of %d", after-before, bound/c.part)
			}
		})
	}
}
