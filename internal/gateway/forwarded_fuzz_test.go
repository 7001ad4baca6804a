package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/proxy"
)

// FuzzForwarded reads X-Forwarded headers as a trusted proxy's and as a stranger's, and
// compares with a plain reading of the rules (Semantics 309). Lines are separated by
// line feeds, which no header has.
func FuzzForwarded(f *testing.F) {
	f.Add("198.51.100.7, 10.9.9.9", "https", "shop.example", "8443")
	trusted := proxies{ranges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}}
	f.Fuzz(func(t *testing.T, hops, proto, host, port string) {
		h := http.Header{}
		for name, text := range map[string]string{"X-Forwarded-For": hops, "X-Forwarded-Proto": proto, "X-Forwarded-Host": host, "X-Forwarded-Port": port} {
			if text != "" {
				h[name] = strings.Split(text, "\n")
			}
		}
		const asked = "gateway.example:8080"
		r := &http.Request{Header: h, Host: asked, RemoteAddr: "192.0.2.1:99"}
		if o := trusted.origin(r); o.client.String() != "192.0.2.1" || o.hops != "192.0.2.1" || o.host != asked || o.scheme != "http" {
			t.Errorf("a stranger is believed: %+v", o)
		}
		r.RemoteAddr = "10.0.0.1:99"
		o := trusted.origin(r)
		want := plainWalk(&trusted, h["X-Forwarded-For"])
		if got := strings.Split(o.hops, ", "); !slices.Equal(got, want) || o.client.String() != want[0] {
			t.Errorf("the hops are %q of %s, want %q", got, o.client, want)
		}
		if o.scheme != "http" && o.scheme != "https" {
			t.Errorf("the scheme is %q", o.scheme)
		}
		if !http1head.ValidHost(o.host) {
			t.Errorf("the host is %q", o.host)
		}
		checkTold(t, &o)
	})
}

// plainWalk reads the hops from the right, as far as proxies are trusted, and returns
// them from the client on.
func plainWalk(p *proxies, lines []string) []string {
	hops := []string{"10.0.0.1"}
	for _, line := range slices.Backward(lines) {
		if line == "" {
			continue
		}
		parts := strings.Split(line, ",")
		if len(parts) > 1 && parts[0] == "" {
			parts = parts[1:] // nothing stands before the first
		}
		for _, part := range slices.Backward(parts) {
			part = strings.Trim(part, " \t")
			a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(part, "["), "]"))
			if err != nil {
				at, err := netip.ParseAddrPort(part)
				if err != nil {
					return hops
				}
				a = at.Addr()
			}
			a = a.Unmap().WithZone("")
			hops = slices.Insert(hops, 0, a.String())
			if !slices.ContainsFunc(p.ranges, func(r netip.Prefix) bool { return r.Contains(a) }) {
				return hops
			}
		}
	}
	return hops
}

// checkTold looks at what backends are told.
func checkTold(t *testing.T, o *origin) {
	t.Helper()
	var md proxy.Metadata
	o.tell(&md, false)
	seen := map[string]bool{}
	for i := 0; i+1 < len(md); i += 2 {
		if name := md[i]; seen[name] || !strings.HasPrefix(name, "x-forwarded-") || !plain(md[i+1]) {
			t.Errorf("the backend is told %q: %q", name, md[i+1])
		}
		seen[md[i]] = true
	}
	if !seen["x-forwarded-for"] || !seen["x-forwarded-proto"] {
		t.Errorf("the backend is told %q", md)
	}
}
