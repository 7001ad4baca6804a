package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

// TestRouteDropsElsewhere: Traffic 127, 128, 131: with stores.redis, what a request to a route drops,
// and what is purged by hand, other gateways drop, too; also what happened while Redis was away.
func TestRouteDropsElsewhere(t *testing.T) {
	var version atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			version.Add(1)
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = fmt.Fprint(w, "version ", version.Load()) // the client looks
	}))
	t.Cleanup(server.Close)
	r := redistest.Start(t)
	start := func() *gatewaytest.Gateway {
		return gatewaytest.Start(t, gatewaytest.Options{
			Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(server.URL, "http://")),
			Config:    fmt.Sprintf("stores: { redis: { url: %q, timeout: 10s } }\nroutes: [{ match: { path_prefix: / }, upstream: site, policy: { cache: {} } }]", r.URL),
		})
	}
	one, other := start(), start()
	do := func(g *gatewaytest.Gateway, method, path string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "shop.example" // one name of both gateways
		response, err := g.Client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	fill := func(want string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if got := do(one, "GET", path); got != want {
				t.Fatalf("%s is %q, want %q", path, got, want)
			}
		}
	}
	fill("version 0", "/a", "/b")
	if got := do(other, "PUT", "/a"); got != "version 1" {
		t.Fatal(got)
	}
	poll.Until(t, "the other gateway to drop /a", func() bool { return do(one, "GET", "/a") == "version 1" })
	fill("version 0", "/b") // that is another URI
	if n := r.Client(t).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are written for answers that are in no Redis", n)
	}

	for i, purge := range [][3]string{{"", "http://shop.example/b", ""}, {"/**", "", ""}, {"", "", ""}} {
		version.Add(1)
		if _, _, err := other.PurgeCache(purge[0], purge[1], purge[2]); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint("version ", 2+i)
		poll.Until(t, fmt.Sprintf("%q to be dropped", purge), func() bool { return do(one, "GET", "/b") == want })
	}

	r.Kill()
	do(other, "PUT", "/b")
	if got, want := do(other, "GET", "/b"), fmt.Sprint("version ", version.Load()); got != want {
		t.Errorf("the gateway that was asked gives %q, want %q", got, want)
	}
	r.Restart()
	poll.Until(t, "the other gateway to hear of it", func() bool { return do(one, "GET", "/b") == fmt.Sprint("version ", version.Load()) })
}
