package gateway_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

var (
	bypassTables = flag.Int("bypass-tables", 4, "how many route tables TestNoBypassOfRoutes tries")
	bypassPaths  = flag.Int("bypass-paths", 500, "how many paths TestNoBypassOfRoutes tries on each")
)

// toySecrets are what the toy backends have no guard of their own for.
var toySecrets = []string{"/admin", "/a/secret", "/v1/b"}

// toyMount is where a server is seen by clients.
type toyMount struct{ at, strip, add string }

var toyMounts = []toyMount{
	{at: "/"},
	{at: "/", add: "/files"},
	{at: "/", add: "/a"},
	{at: "/", add: "/v1/x"},
	{at: "/public"},
	{at: "/public", strip: "/public"},
	{at: "/public", strip: "/public", add: "/v1"},
	{at: "/public", add: "/files/of"},
	{at: "/a", strip: "/a"},
	{at: "/a"},
	{at: "/a/b", strip: "/a"},
	{at: "/a/b", strip: "/a/b"},
	{at: "/a/b", strip: "/a/b", add: "/a"},
	{at: "/a/b/c", strip: "/a/b", add: "/files"},
	{at: "/v1", strip: "/v1", add: "/v2"},
	{at: "/v1/a", strip: "/v1"},
	{at: "/admins"},
	{at: "/admi"},
	{at: "/secret", strip: "/secret", add: "/a/b"},
}

// toyTable writes routes to a server, some of which rewrite paths, and guards each path
// that a route, read as it stands, leads to a secret one by.
func toyTable(random *rand.Rand) string {
	upstream := []string{"decoding", "merging"}[random.IntN(2)]
	var lines, taken []string
	add := func(at, policy string, m toyMount) {
		if slices.Contains(taken, at) {
			return
		}
		taken = append(taken, at)
		rewrite := ""
		if m.strip != "" || m.add != "" {
			rewrite = fmt.Sprintf(", rewrite: { strip_prefix: %q, add_prefix: %q }", m.strip, m.add)
		}
		lines = append(lines, fmt.Sprintf("  - { match: { path_prefix: %q }, upstream: %s%s%s }", at, upstream, rewrite, policy))
	}
	var mounts []toyMount
	for range 2 + random.IntN(5) {
		m := toyMounts[random.IntN(len(toyMounts))]
		if !slices.ContainsFunc(mounts, func(o toyMount) bool { return o.at == m.at }) {
			mounts = append(mounts, m)
		}
	}
	const guard = ", " + toyAuth
	for _, m := range mounts {
		for _, secret := range toySecrets {
			sent := m.add + strings.TrimPrefix(strings.TrimSuffix(m.at, "/"), m.strip) // what stands for m.at
			if sent == secret || strings.HasPrefix(sent, secret+"/") {
				add(m.at, guard, m)
			} else if rest, ok := strings.CutPrefix(secret, sent+"/"); ok {
				add(strings.TrimSuffix(m.at, "/")+"/"+rest, guard, m)
			}
		}
	}
	for _, m := range mounts {
		add(m.at, "", m)
	}
	return toyIssuer + "routes:\n" + strings.Join(lines, "\n") + "\n"
}

var toyParts = []string{
	"/", "/", "/", "//", "..", "..", ".", "%2e", "%2E%2e", "%2F", "%2f", "%5C", `\`, ";", ";x=y", ";/", "%3B", "/..;", "/../", "/..%2F", "%252F", "%252e", "%252e%252e", "%255C", "%253B",
	"%25", "%00", "%09", "%0A", "%20", "%0d", "%7F", "%C0%AF", "%c0%ae", "%3F", "%23", "%253F", "%61", "%2561", "%40", "%%32%65", "[", "|", "x", "/x", "/c/..", "%2f..%2f", "%5c..%5c",
}

var toySegments = []string{"", "", "", "admin", "a", "b", "c", "secret", "v1", "x", "public", "files", "/a/secret", "/v1/b", "/admin", "%61dmin", "se%63ret", "admin;x", "..", "../..", "of"}

func toyPath(random *rand.Rand) string {
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	var b strings.Builder
	b.WriteString(toyMounts[random.IntN(len(toyMounts))].at)
	if random.IntN(8) == 0 {
		b.WriteString(pick([]string{"/admin", "/secret", "/a/secret", "/b", "/v1/b"}))
	}
	for range random.IntN(6) {
		b.WriteString(pick(toyParts))
		b.WriteString(pick(toySegments))
	}
	return b.String()
}

// TestNoBypassOfRoutes sends random paths through random routes to the toy backends
// (Traffic 136). `make bypass` has it try a million over 50 tables.
func TestNoBypassOfRoutes(t *testing.T) {
	random := rand.New(rand.NewPCG(136, 2))
	g := gatewaytest.Start(t, gatewaytest.Options{Upstreams: startToys(t, toySecrets...), Config: toyTable(random)})
	base, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(base), toyIssuer)
	h1, h2 := &rawH1{addr: g.Addr}, &rawH2{addr: g.Addr}
	t.Cleanup(h1.close)
	t.Cleanup(h2.close)
	clients := []rawClient{h1, h2}
	counts := map[int]int{}
	bypasses := 0
	for range *bypassTables {
		table := toyTable(random)
		if err := os.WriteFile(g.Config, []byte(head+table), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatalf("%v\n%s", err, table)
		}
		for range *bypassPaths {
			path := toyPath(random)
			i := random.IntN(len(clients))
			a := clients[i].get(t, "x", path, "")
			counts[a.status]++
			if strings.Contains(a.body, toySecret) {
				if bypasses++; bypasses < 10 {
					t.Errorf("%T: %q gets %s, by\n%s", clients[i], path, a.body, table)
				}
			}
		}
	}
	t.Logf("%d bypasses; answers by status: %v", bypasses, counts)
	if all := *bypassTables * *bypassPaths; counts[200] < all/20 || counts[400] < all/20 || counts[401] < all/1000 {
		t.Errorf("the paths are not what they should be: %v", counts)
	}
}
