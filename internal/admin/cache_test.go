package admin

import (
	"net/url"
	"testing"
)

// TestNamedMethod: a method may be named as in selectors of the configuration, where answers
// are dropped (Traffic 128) and keys are listed (Traffic 90).
func TestNamedMethod(t *testing.T) {
	for given, want := range map[string]string{
		"shop.v1.Shop/Buy": "shop.v1.Shop/Buy",
		"shop.v1.Shop.Buy": "shop.v1.Shop/Buy",
		"/shop/**":         "/shop/**",
		"shop.example/a.b": "shop.example/a.b",
		"Buy":              "Buy",
		".Buy":             ".Buy",
	} {
		g := &operatedGateway{fakeGateway: newGateway()}
		served(withTokens(g, nil), "POST", "/cache/purge?rpc="+url.QueryEscape(given), "Authorization", "Bearer a token that operates")
		if len(g.set) != 1 || g.set[0] != "purge "+want+"  " {
			t.Errorf("%s: dropped %q, want %s", given, g.set, want)
		}
		if q, err := keyQuery(url.Values{"rpc": {given}}); err != nil || q.RPC != want {
			t.Errorf("%s: listed %q, %v, want %s", given, q.RPC, err, want)
		}
	}
}
