package idempotency

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/idempotency/keys"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// TestCompile: Traffic 82, 83, 85: what a policy means, and what is refused.
func TestCompile(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`idempotency_key { scope: METHOD }`, "the answer to each key is kept for 24h; all callers share them"},
		{`idempotency_key { scope: METHOD required: true ttl { seconds: 60 } }`, "the answer to each key is kept for 1m; a key is required; all callers share them"},
		{`idempotency_key {}`, "!idempotency_key: the method is open to callers who prove nothing"},
		{`idempotency_key { scope: METHOD field: "nothing" }`, `!idempotency_key.field: found "nothing", expected a field of shop.v1.`},
		{`idempotency_key { scope: METHOD ttl { nanos: 1 } }`, "!idempotency_key.ttl: found 1ns, expected 1s to 720h (30 days)"},
		{`idempotency_key { scope: METHOD ttl { seconds: 9000000 } }`, "!idempotency_key.ttl: found 2500h, expected 1s to 720h (30 days)"},
		{`idempotency_key { scope: METHOD max_answer_bytes: 16777217 }`, "!idempotency_key.max_answer_bytes: found 16777217, expected up to 16777216"},
		{`idempotency_key { scope: METHOD store: REDIS }`, "!idempotency_key.store: found REDIS, but the configuration has no stores.redis: set its url, or store MEMORY"},
		{`idempotency_key { disabled: true }`, ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			layers := policytest.LayersOf(t, test.text)
			layers[0].Exact = true
			target := policy.Target{Method: policytest.ShopMethod("Buy"), RPC: "shop.v1.Shop/Buy", Upstream: "books", Layers: layers}
			policytest.NewAuthBench(t, &transomv1.Config{}, Kind()).CheckExplained(t, target, test.want)
		})
	}
}

// TestPrincipalsOfReloads: Traffic 85: whose a key is does not depend on how many issuers are accepted, which a
// reload may change while answers are kept: they stay those of their callers, and become nobody else's.
func TestPrincipalsOfReloads(t *testing.T) {
	config := &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{{Issuer: "one"}, {Issuer: "two", PrincipalClaim: "email"}}}}
	known := policy.Kind{Field: "auth", Compile: func(*policy.Scope) policy.Part { return nil }}
	id := func(auth, mechanism, issuer string) keys.Digest {
		layers := policytest.LayersOf(t, auth+` idempotency_key {}`)
		target := policy.Target{Method: policytest.ShopMethod("Buy"), RPC: "shop.v1.Shop/Buy", Upstream: "books", Layers: layers}
		set := policytest.MustCompile(t, policytest.NewAuthBench(t, config, known, Kind()).Compiler, target)
		p, ok := policy.Find[*method](set)
		if !ok {
			t.Fatalf("%s has no keys", auth)
		}
		r := &policy.Request{HTTP: &http.Request{Header: http.Header{}}}
		r.Identity = &policy.Identity{Principal: "ada", Mechanism: mechanism, Claims: map[string]any{"iss": issuer}}
		return p.call(r, "k").ID
	}
	const one, two, both = `auth { jwt { issuers: "one" } }`, `auth { jwt { issuers: "two" } }`, `auth { jwt {} }`
	if id(one, "jwt", "one") != id(both, "jwt", "one") || id(two, "jwt", "two") != id(both, "jwt", "two") {
		t.Error("beside another issuer a key is free again")
	}
	if id(one, "jwt", "one") == id(two, "jwt", "two") {
		t.Error("the caller of one issuer has the keys of another's")
	}
	const mixed = `auth { mixed { jwt { issuers: "two" } } }`
	if id(mixed, "session", "") != id(mixed, "jwt", "two") || id(mixed, "session", "") == id(`auth { mixed {} }`, "session", "") {
		t.Error("a session is not that of the only issuer beside it, or of one of several")
	}
}

// TestCompileAllProblems: Traffic 82: a method without auth is told of what else is wrong, too.
func TestCompileAllProblems(t *testing.T) {
	layers := policytest.LayersOf(t, `idempotency_key { ttl { nanos: 500000000 } field: "nothing" store: REDIS }`)
	layers[0].Exact = true
	target := policy.Target{Method: policytest.ShopMethod("Buy"), RPC: "shop.v1.Shop/Buy", Upstream: "books", Layers: layers}
	_, problems := policytest.NewAuthBench(t, &transomv1.Config{}, Kind()).Compile(target)
	want := []string{"the method is open to callers who prove nothing", "idempotency_key.ttl: found 500ms", "idempotency_key.store: found REDIS", `idempotency_key.field: found "nothing"`}
	for i, part := range want {
		if len(problems) != len(want) || !strings.Contains(problems[i].Message, part) {
			t.Fatalf("got %q, want %q", problems, want)
		}
	}
}

// TestJudge: Traffic 89, 90: what the end of a call is for its key.
func TestJudge(t *testing.T) {
	told := func(code codes.Code) error { return transport.Told(status.New(code, "")) }
	for code := codes.Canceled; code <= 20; code++ {
		want := keep
		switch code {
		case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.Unauthenticated:
			want = release
		case codes.Canceled, codes.DeadlineExceeded:
			want = unknown
		}
		plain := &part{rule: &transomv1.IdempotencyKey{}}
		if got := plain.judge(&proxy.Reply{}, told(code), false); got != want {
			t.Errorf("%v: %d, want %d", code, got, want)
		}
		strict := &part{rule: &transomv1.IdempotencyKey{Strict: true}}
		if want == release && code != codes.Unauthenticated {
			want = unknown
		}
		if got := strict.judge(&proxy.Reply{}, told(code), false); got != want {
			t.Errorf("strict, %v: %d, want %d", code, got, want)
		}
	}
	lost := status.Error(codes.Unavailable, "the connection broke")
	for name, test := range map[string]struct {
		tries   proxy.Tries
		refused bool
		rule    *transomv1.IdempotencyKey
		want    outcome
	}{
		"sent":                       {proxy.Tries{Attempts: 1}, false, &transomv1.IdempotencyKey{}, unknown},
		"never sent":                 {proxy.Tries{Attempts: 1, Unsent: true}, false, &transomv1.IdempotencyKey{}, release},
		"never sent, after another":  {proxy.Tries{Attempts: 2, Unsent: true}, false, &transomv1.IdempotencyKey{}, unknown},
		"refused by another policy":  {proxy.Tries{}, true, &transomv1.IdempotencyKey{}, release},
		"sent, the backend knows it": {proxy.Tries{Attempts: 1}, false, &transomv1.IdempotencyKey{BackendHonours: true}, release},
	} {
		p := &part{rule: test.rule}
		if got := p.judge(&proxy.Reply{Tries: test.tries}, lost, test.refused); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

// TestPrincipals: Traffic 85: a key belongs to its caller and its method.
func TestPrincipals(t *testing.T) {
	as := func(principal string) *policy.Request {
		r := &policy.Request{HTTP: &http.Request{Header: http.Header{}}, ClientIP: netip.MustParseAddr("192.0.2.1")}
		if principal != "" {
			r.Identity = &policy.Identity{Principal: principal}
		}
		return r
	}
	own := &part{rpc: "a.B/C", rule: &transomv1.IdempotencyKey{}}
	seen := map[keys.Digest]string{}
	for _, one := range []struct {
		p              *part
		principal, key string
	}{
		{own, "ada", "k"}, {own, "bob", "k"}, {own, "ada", "kk"}, {own, "adak", ""}, {&part{rpc: "a.B/D", rule: own.rule}, "ada", "k"},
		{&part{rpc: "a.B/C", rule: &transomv1.IdempotencyKey{Scope: transomv1.IdempotencyKey_METHOD}}, "ada", "k"},
	} {
		id := one.p.call(as(one.principal), one.key).ID
		name := fmt.Sprint(one.principal, " ", one.key, " ", one.p.rpc)
		if other, ok := seen[id]; ok {
			t.Errorf("%s is %s", name, other)
		}
		seen[id] = name
	}
	of := func(issuer string) *policy.Request {
		r := as("ada")
		r.Identity.Mechanism, r.Identity.Claims = "jwt", map[string]any{"iss": issuer}
		return r
	}
	if one, two := own.call(of("one"), "k").ID, own.call(of("two"), "k").ID; one == two || one == own.call(as("ada"), "k").ID {
		t.Errorf("callers whom several issuers call ada have one key: %x, %x", one, two)
	}
	mixed := &part{rpc: "a.B/C", rule: own.rule, issuer: "one"}
	if mixed.call(of("one"), "k").ID != mixed.call(as("ada"), "k").ID {
		t.Error("of one issuer, ada by a token is not ada by a session")
	}
	renamed := &part{rpc: "a.B/C", rule: own.rule, named: map[string]string{"one": "email"}}
	if renamed.call(of("one"), "k").ID == own.call(of("one"), "k").ID || renamed.call(of("two"), "k").ID != own.call(of("two"), "k").ID {
		t.Error("who is called ada by another claim than before is ada still, or so are others no longer")
	}
	certified := as("ada")
	certified.Identity.Mechanism = "mtls"
	if id := own.call(certified, "k").ID; id == own.call(as("ada"), "k").ID || id == own.call(of("one"), "k").ID {
		t.Error("ada by a certificate is ada by something else")
	}
	shared := &part{rpc: "a.B/C", rule: &transomv1.IdempotencyKey{Scope: transomv1.IdempotencyKey_METHOD}}
	a, b := shared.call(as("ada"), "k"), shared.call(as("bob"), "k")
	if a.ID != b.ID || a.Owner() == b.Owner() {
		t.Errorf("METHOD: %x, %x; owners %x, %x", a.ID, b.ID, a.Owner(), b.Owner())
	}
}

// TestOutcomeUnknown: Traffic 90: the answer says why nobody knows, where that is known.
func TestOutcomeUnknown(t *testing.T) {
	for want, kept := range map[string]*spb.Status{
		"nobody knows whether the first call with this key was carried out" + advice:             nil, // a panic
		"nobody knows whether the first call with this key was carried out: it is late" + advice: {Code: int32(codes.DeadlineExceeded), Message: "it is late"},
	} {
		if got := status.Convert(outcomeUnknown(&keys.Record{State: keys.Uncertain, Status: kept})).Message(); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}

// TestKeyOfField: Traffic 83: what is wrong with the key of a field is said of the field.
func TestKeyOfField(t *testing.T) {
	m := &method{part: &part{}, field: &keyField{"request_id", 1}}
	for key, want := range map[string]string{"a b": "request_id: found the byte 0x20", strings.Repeat("a", 256): "request_id: found 256 characters"} {
		message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), key)
		if _, err := m.key(nil, message); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestHostOfKey: Traffic 85: a key belongs to a host, however that is written.
func TestHostOfKey(t *testing.T) {
	for _, test := range []struct{ scheme, host, want string }{
		{"http", "Shop.Example:80", "shop.example"}, {"http", "shop.example", "shop.example"}, {"https", "shop.example:443", "shop.example"},
		{"https", "shop.example:80", "shop.example:80"}, {"http", "shop.example:8080", "shop.example:8080"}, {"http", "[::1]:80", "[::1]"},
	} {
		if got := hostOf(&policy.Request{HTTP: &http.Request{}, Scheme: test.scheme, Host: test.host}); got != test.want {
			t.Errorf("%s://%s: %q, want %q", test.scheme, test.host, got, test.want)
		}
	}
}
