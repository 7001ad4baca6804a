package admin

import (
	"bytes"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

// TestPurgeToldLater: Traffic 128: where other gateways could not be told, the answer to a purge is 202, and says
// why and when they are; the audit log has it, too.
func TestPurgeToldLater(t *testing.T) {
	for query, want := range map[string]struct {
		code  int
		body  string
		audit string
	}{
		"tag=a": {200, "answers dropped: 1\n", `all=\"\"","result":"done"`},
		"tag=" + url.QueryEscape("of a store that is away"): {202, "answers dropped: 1\n" + othersLater, `all=\"\" others=later","result":"done"`},
		"tag=": {400, "tag: expected one value\n", `all=\"\"","result":"failed`},
	} {
		var log bytes.Buffer
		o := withTokens(&operatedGateway{fakeGateway: newGateway()}, NewAudit(&log, nil, slog.New(slog.DiscardHandler)))
		w := served(o, "POST", "/cache/purge?"+query, "Authorization", "Bearer a token that operates")
		if w.Code != want.code || w.Body.String() != want.body || !strings.Contains(log.String(), want.audit) {
			t.Errorf("%s: %d %q\n%s", query, w.Code, w.Body, &log)
		}
	}
	if !strings.Contains(othersLater, "stores.redis") {
		t.Errorf("%q does not name the store", othersLater)
	}
}

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
