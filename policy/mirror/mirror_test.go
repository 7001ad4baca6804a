package mirror

import (
	"context"
	"fmt"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// silent takes calls and answers nothing.
type silent struct{ proxy.Backend }

// Call implements proxy.Backend.
func (silent) Call(_ context.Context, _ string, _ proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	request.Free()
	return proxy.Reply{}, nil
}

// TestCompile: Traffic 208: what a policy means, and what is refused.
func TestCompile(t *testing.T) {
	for text, want := range map[string]string{
		`upstream: "shadow" side_effects: true`:                "100 % of the calls to shadow, too",
		`upstream: "shadow" percent: 2.5 side_effects: true`:   "2.5 % of the calls to shadow, too",
		`upstream: "shadow"`:                                   "!mirror: a copy may have side effects, as the proto does not say otherwise",
		`upstream: "shado" side_effects: true`:                 `!mirror.upstream: found "shado", expected the name of a gRPC upstream: books, shadow, site; did you mean shadow?`,
		`upstream: "shadow" percent: 0 side_effects: true`:     "!mirror.percent: found 0, expected more than 0 and up to 100",
		`upstream: "shadow" percent: 100.5 side_effects: true`: "!mirror.percent: found 100.5",
		`upstream: "shadow" side_effects: true redact: true`:   "100 % of the calls to shadow, too, redacted",
		`upstream: "site" side_effects: true`:                  `!mirror.upstream: found "site", expected the name of a gRPC upstream: books, shadow, site`,
		`disabled: true`:                                       "",
	} {
		t.Run(text, func(t *testing.T) {
			config := &transomv1.Config{Upstreams: map[string]*transomv1.Upstream{"books": nil, "shadow": nil, "site": {Kind: &transomv1.Upstream_Http{Http: &transomv1.HttpUpstream{}}}}}
			layers := policytest.LayersOf(t, "mirror { "+text+" }")
			layers[0].Exact = true
			target := policy.Target{Method: policytest.ShopMethod("Buy"), RPC: "shop.v1.Shop/Buy", Upstream: "books", Layers: layers, Backends: func(name string) proxy.Backend {
				if name != "shadow" {
					return nil
				}
				return silent{}
			}}
			policytest.NewAuthBench(t, config, Kind()).CheckExplained(t, target, want)
		})
	}
}

// TestCompileRoutes: Traffic 208: what a policy means for a plain HTTP route.
func TestCompileRoutes(t *testing.T) {
	for _, test := range []struct {
		text     string
		methods  []string
		upstream string
		exact    bool
		want     string
	}{
		{`upstream: "shadow"`, nil, "site", true, "100 % of the calls to shadow, too"},
		{`upstream: "shadow"`, []string{"POST", "GET"}, "site", true, "100 % of the calls to shadow, too"},
		{`upstream: "shadow"`, []string{"POST"}, "site", true, "!mirror: a copy of none of the route's methods is without side effects"},
		{`upstream: "shadow"`, []string{"POST"}, "site", false, ""},
		{`upstream: "shadow" side_effects: true`, []string{"POST"}, "site", true, "100 % of the calls to shadow, too"},
		{`upstream: "shadow"`, nil, "", true, "!mirror: the route has no upstream"},
		{`upstream: "shadow"`, nil, "", false, ""},
		{`upstream: "books"`, nil, "site", true, `!mirror.upstream: found "books", expected the name of a plain HTTP upstream`},
		{`upstream: "books"`, nil, "site", false, ""},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			config := &transomv1.Config{Upstreams: map[string]*transomv1.Upstream{
				"books": {Kind: &transomv1.Upstream_Grpc{Grpc: &transomv1.GrpcUpstream{}}},
				"site":  {Kind: &transomv1.Upstream_Http{Http: &transomv1.HttpUpstream{}}}, "shadow": {Kind: &transomv1.Upstream_Http{Http: &transomv1.HttpUpstream{}}},
			}}
			layers := policytest.LayersOf(t, "mirror { "+test.text+" }")
			layers[0].Exact = test.exact
			target := policy.Target{PlainHTTP: true, RPC: "/**", Methods: test.methods, Upstream: test.upstream, Layers: layers}
			policytest.NewAuthBench(t, config, Kind()).CheckExplained(t, target, test.want)
		})
	}
}

// TestTooLarge: Traffic 208: a message above 256 KiB is not copied, but counted.
func TestTooLarge(t *testing.T) {
	results := map[string]int{}
	p := &part{sender: sender{rpc: "a/b", share: 1, copies: &copies{}, decided: func(result string) { results[result]++ }}, to: silent{}}
	if _, err := p.Wrap(silent{}).Call(t.Context(), "/a/b", nil, proxy.NewFrame(make([]byte, maxCopy+1))); err != nil {
		t.Fatal(err)
	}
	if results["too_large"] != 1 || len(results) != 1 {
		t.Errorf("%v", results)
	}
}
