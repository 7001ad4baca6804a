package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/internal/testing/cachecases"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestRouteCache: Traffic 131: a route with the policy cache is a shared cache by RFC 9111, by
// the table that others' caches are held to, for clients of HTTP/1.1 and HTTP/2.
func TestRouteCache(t *testing.T) {
	origin := cachecases.Start(t)
	for protocol, of := range map[string]func(*gatewaytest.Gateway) *http.Client{
		"HTTP/1.1": func(g *gatewaytest.Gateway) *http.Client { return g.Client },
		"HTTP/2":   func(g *gatewaytest.Gateway) *http.Client { return g.HTTP2 },
	} {
		g := startCachedRoute(t, origin.Address, "{}", "")
		for _, c := range cachecases.All() {
			t.Run(protocol+"/"+c.Name, func(t *testing.T) { origin.Run(t, cachecases.Transom, of(g), g.URL, c) })
		}
	}
}

// startCachedRoute starts a gateway whose one route has the policy cache and goes to an
// address. more is added to the route.
func startCachedRoute(t testing.TB, address, cache, more string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", address),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site, policy: { cache: " + cache + " }" + more + " }]",
	})
}

// counting is a server whose answers are numbered.
func counting(t testing.TB, header ...string) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		_, _ = fmt.Fprintf(w, "%d for %s", n, r.Header.Get("X-Transom-Principal")) // the client looks
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

// TestRouteCacheOfPrincipals: Traffic 131, 116 and 123: with auth, each principal has answers
// of their own, which caches on the way are told.
func TestRouteCacheOfPrincipals(t *testing.T) {
	address, asked := counting(t)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", address),
		Config: toyIssuer + `routes:
  - { match: { path_prefix: /own }, upstream: site, policy: { auth: { jwt: {} }, cache: { ttl: 60s } } }
  - { match: { path_prefix: /shared }, upstream: site, policy: { auth: { jwt: {} }, cache: { ttl: 60s, scope: PUBLIC } } }
  - { match: { path_prefix: /open }, upstream: site, policy: { cache: { ttl: 60s } } }
  - { match: { path_prefix: /varied }, upstream: site, policy: { cache: { ttl: 60s, vary: [x-tenant, Accept-Language] } } }`,
	})
	bearer := func(who string) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "id", "aud": "toys", "sub": who, "exp": time.Now().Add(time.Hour).Unix()}).
			SignedString([]byte("0123456789abcdef0123456789abcdef"))
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + token
	}
	for _, step := range []struct {
		path, who string
		asked     int64
		control   string
		vary      string
	}{
		{"/own", "ada", 1, "private, max-age=60", "Authorization, Cookie"},
		{"/own", "ada", 1, "private, max-age=60", "Authorization, Cookie"},
		{"/own", "eve", 2, "private, max-age=60", "Authorization, Cookie"},
		{"/shared", "ada", 3, "public, max-age=60", ""},
		{"/shared", "eve", 3, "public, max-age=60", ""},
		{"/open", "", 4, "public, max-age=60", ""},
		{"/open", "", 4, "public, max-age=60", ""},
		{"/open", "ada", 5, "", ""},
		{"/varied", "", 6, "public, max-age=60", "Accept-Language, X-Tenant"},
		{"/varied", "", 6, "public, max-age=60", "Accept-Language, X-Tenant"},
	} {
		var header []string
		if step.who != "" {
			header = []string{"Authorization", bearer(step.who)}
		}
		a := g.Do(t, "GET", step.path, "", header...)
		control, vary := strings.Trim(strings.Join(a.Header["Cache-Control"], ", "), ", "), strings.Join(a.Header["Vary"], ", ")
		if a.Status != 200 || asked.Load() != step.asked || !strings.HasPrefix(control, strings.TrimSuffix(step.control, "0")) || vary != step.vary {
			t.Errorf("%+v: %d, asked %d times, Cache-Control %q, Vary %q", step, a.Status, asked.Load(), control, vary)
		}
		if step.path == "/own" && !strings.HasSuffix(a.Body, "for "+step.who) {
			t.Errorf("%s got %q", step.who, a.Body)
		}
	}
	if a := g.Do(t, "GET", "/own", ""); a.Status != 401 {
		t.Errorf("nobody got %d", a.Status)
	}
}

// TestRouteCacheIsSeen: Traffic 131: the access log and the metrics say what the cache did.
func TestRouteCacheIsSeen(t *testing.T) {
	address, _ := counting(t, "Cache-Control", "max-age=60")
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", address), Log: &log,
		Config: "routes: [{ match: { path_prefix: / }, upstream: site, policy: { cache: {} } }]",
	})
	g.Do(t, "GET", "/a", "")
	g.Do(t, "GET", "/a", "")
	g.Do(t, "GET", "/a", "", "Range", "bytes=0-1")
	if a := g.Do(t, "GET", "/b", "", "Cache-Control", "only-if-cached"); a.Status != 504 || !strings.Contains(a.Body, "only-if-cached") {
		t.Errorf("only-if-cached: %d %s", a.Status, a.Body)
	}
	for _, result := range []string{"hit", "miss", "bypass"} {
		poll.Until(t, result, func() bool {
			return strings.Contains(log.String(), "cache="+result) || strings.Contains(log.String(), `"cache":"`+result+`"`)
		})
		if !strings.Contains(metricsOf(g), fmt.Sprintf(`transom_policy_decisions_total{policy="cache",result=%q,rpc="/**"}`, result)) {
			t.Errorf("the metrics lack %s", result)
		}
	}
}

// TestRouteCachePurge: Traffic 128 and 131: answers are dropped by URI, by route and all; a
// reload keeps those of routes that are as they were.
func TestRouteCachePurge(t *testing.T) {
	address, asked := counting(t, "Cache-Control", "max-age=60")
	g := startCachedRoute(t, address, "{}", "")
	get := func(want string) {
		t.Helper()
		if a := g.Do(t, "GET", "/a?b=c", ""); a.Body != want+" for " {
			t.Errorf("%q, want %s", a.Body, want)
		}
	}
	get("1")
	get("1")
	for i, purge := range [][3]string{{"", g.URL + "/a?b=c", ""}, {"/**", "", ""}, {"", "", ""}} {
		if n, _, err := g.PurgeCache(purge[0], purge[1], purge[2]); n != 1 || err != nil {
			t.Errorf("%q drops %d, %v", purge, n, err)
		}
		get(strconv.Itoa(i + 2))
	}
	for _, other := range [][3]string{{"", g.URL + "/a", ""}, {"", "", "ada"}} {
		if n, _, err := g.PurgeCache(other[0], other[1], other[2]); n != 0 || err != nil {
			t.Errorf("%q drops %d, %v", other, n, err)
		}
	}
	if n, _, err := g.PurgeCache("/x/**", "", ""); n != 0 || err == nil || !strings.Contains(err.Error(), `"/x/**" is no method or route`) {
		t.Errorf("a name that is none drops %d, %v", n, err)
	}
	if n, _, err := g.PurgeCache("", "/a", ""); n != 0 || err == nil || !strings.Contains(err.Error(), `found "/a", which no answer can have; the tags are the URIs of routes`) {
		t.Errorf("a tag that none has drops %d, %v", n, err)
	}
	text, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ more, want string }{{"\nvia: true\n", "4"}, {"", "4"}} {
		if err := os.WriteFile(g.Config, []byte(string(text)+step.more), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		get(step.want)
	}
	changed := strings.Replace(string(text), "cache: {}", "cache: { ttl: 5s }", 1)
	if err := os.WriteFile(g.Config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if get("5"); asked.Load() != 5 {
		t.Errorf("the server was asked %d times", asked.Load())
	}
}

// TestRouteCachePurgeCounts: Traffic 128: what is told is how many answers were dropped, without what
// the cache notes beside them.
func TestRouteCachePurgeCounts(t *testing.T) {
	address, _ := counting(t, "Cache-Control", "max-age=60", "Vary", "X-A")
	g := startCachedRoute(t, address, "{}", "")
	for _, value := range []string{"one", "two", "one"} {
		g.Do(t, "GET", "/a", "", "X-A", value)
	}
	if n, _, err := g.PurgeCache("", g.URL+"/a", ""); n != 2 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
}

// TestRouteCacheOfBranches: Traffic 131 and 203: each upstream of a split has answers of its
// own, and where a route rewrites paths, what is asked for is part of the key.
func TestRouteCacheOfBranches(t *testing.T) {
	one, askedOne := counting(t, "Cache-Control", "max-age=60")
	two, askedTwo := counting(t, "Cache-Control", "max-age=60")
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("one: { http: { servers: [%q] } }, two: { http: { servers: [%q] } }", one, two),
		Config: `routes:
  - { match: { path_prefix: /s }, policy: { cache: {}, split: { branches: [{ upstream: one, weight: 1 }, { upstream: two, weight: 0, match: { header: x-two, value: "1" } }] } } }
  - { match: { path_prefix: /w, methods: [POST] }, upstream: two, policy: { cache: {} } }
  - { match: { path_prefix: /w }, upstream: one, rewrite: { strip_prefix: /w }, policy: { cache: {} } }`,
	})
	check := func(wantOne, wantTwo int64) {
		t.Helper()
		if askedOne.Load() != wantOne || askedTwo.Load() != wantTwo {
			t.Errorf("asked %d and %d times, want %d and %d", askedOne.Load(), askedTwo.Load(), wantOne, wantTwo)
		}
	}
	for range 2 {
		g.Do(t, "GET", "/s", "")
		g.Do(t, "GET", "/s", "", "X-Two", "1")
	}
	check(1, 1)
	g.Do(t, "GET", "/w/a", "")
	g.Do(t, "GET", "/w/a", "")
	check(2, 1)
	g.Do(t, "POST", "/w/a", "{}") // another route, and another upstream, of the same URI
	g.Do(t, "GET", "/w/a", "")
	check(3, 2)
}

// TestConnectionNamesNoVariant: Traffic 131: a field that Connection names does not reach the server, so that an answer
// without it is not kept for those whose field does: by Vary, and by the policy's.
func TestConnectionNamesNoVariant(t *testing.T) {
	address, _ := counting(t, "Vary", "Accept-Language", "Cache-Control", "max-age=60")
	g := startCachedRoute(t, address, "{ vary: [x-tenant] }", "")
	for _, name := range []string{"Accept-Language", "X-Tenant"} {
		path := "/" + name
		for i, header := range [][]string{
			{name, "de", "Connection", name},
			{name, "de"},
			{},
			{name, "de", "Connection", "close, " + name},
			{name, "de", "Connection", "keep-alive"},
		} {
			got, _, _ := strings.Cut(g.Do(t, "GET", path, "", header...).Body, " ")
			if n, err := strconv.Atoi(got); err != nil || i > 1 && n%2 == 0 != (i == 4) {
				t.Errorf("%s: request %d with %q got answer %q", name, i, header, got)
			} else if i == 1 && n%2 != 0 {
				t.Errorf("%s: who sends it to the server got the answer to one who does not, %q", name, got)
			}
		}
	}
}
