package auth_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
)

func TestRolesAndScopes(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	for _, test := range []struct {
		name          string
		roles, scopes []string
		claims        map[string]any
		want          codes.Code
		challenge     string
	}{
		{"one of the roles", []string{"owner", "admin"}, nil, nil, codes.OK, ""},
		{"none of the roles", []string{"owner", "root"}, nil, nil, codes.PermissionDenied, ""},
		{"no roles at all", []string{"admin"}, nil, map[string]any{"roles": nil}, codes.PermissionDenied, ""},
		{"a role as one string", []string{"admin"}, nil, map[string]any{"roles": "admin"}, codes.OK, ""},
		{"a role in other letters", []string{"admin"}, nil, map[string]any{"roles": "Admin"}, codes.PermissionDenied, ""},
		{"all of the scopes", nil, []string{"books.read", "books.write"}, nil, codes.OK, ""},
		{"one of the scopes", nil, []string{"books.read", "books.burn"}, nil, codes.PermissionDenied,
			`Bearer realm="transom", error="insufficient_scope", scope="books.read books.burn"`},
		{"scopes as a list", nil, []string{"a"}, map[string]any{"scope": []string{"a", "b"}}, codes.OK, ""},
		{"scopes by their older name", nil, []string{"a"}, map[string]any{"scope": nil, "scp": "a"}, codes.OK, ""},
		{"roles and scopes, one missing", []string{"admin"}, []string{"x"}, nil, codes.PermissionDenied,
			`Bearer realm="transom", error="insufficient_scope", scope="x"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policytest.JwtPolicy(nil)
			p.Auth.Roles, p.Auth.Scopes = test.roles, test.scopes
			set := b.Set(t, p)
			r := policytest.WithToken(policytest.SecretToken(t, test.claims))
			policytest.WantCode(t, policytest.LetIn(set, r), test.want)
			if got := r.ResponseHeader.Get("WWW-Authenticate"); got != test.challenge {
				t.Errorf("WWW-Authenticate %q, want %q", got, test.challenge)
			}
			policytest.WantCode(t, policytest.LetIn(set, policytest.NewCall(nil)), codes.Unauthenticated) // 401 comes before 403
		})
	}
}

func TestAllow(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	for _, test := range []struct {
		name, allow, request string
		claims               map[string]any
		want                 codes.Code
	}{
		{"principal", `principal == 'ada'`, "", nil, codes.OK},
		{"another principal", `principal == 'eve'`, "", nil, codes.PermissionDenied},
		{"roles", `'admin' in roles && size(roles) == 2`, "", nil, codes.OK},
		{"claims", `claims.org.id == 7 && claims.age >= 18`, "", map[string]any{"org": map[string]any{"id": 7}, "age": 41}, codes.OK},
		{"a claim with a fraction", `claims.score > 0.5`, "", map[string]any{"score": 0.75}, codes.OK},
		{"a list of claims", `'b' in claims.groups`, "", map[string]any{"groups": []string{"a", "b"}}, codes.OK},
		{"a missing claim refuses", `claims.org == 'x'`, "", nil, codes.PermissionDenied},
		{"a missing claim, asked for", `!has(claims.org)`, "", nil, codes.OK},
		{"headers in lower case", `headers['x-team'] == 'blue, red'`, "", nil, codes.OK},
		{"Semantics 52: a header of the gateway's own names is nobody's word", `!('x-transom-principal' in headers) && !('x-transom-claim-org' in headers)`, "", nil, codes.OK},
		{"Semantics 52: a forged header refuses", `headers['x-transom-roles'] == 'owner'`, "", nil, codes.PermissionDenied},
		{"method", `method == 'shop.v1.Shop/Buy'`, "", nil, codes.OK},
		{"an answer that is no bool", `claims.sub`, "", nil, codes.PermissionDenied},
		{"request", `request.owner == principal`, `owner: "ada"`, nil, codes.OK},
		{"another owner", `request.owner == principal`, `owner: "eve"`, nil, codes.PermissionDenied},
		{"numbers, lists and enums", `request.amount < 100 && request.tags.all(t, t.startsWith('x')) && request.level == shop.v1.Level.ADMIN`,
			`amount: 99 tags: "x1" tags: "x2" level: ADMIN`, nil, codes.OK},
		{"well-known types", `request.at > timestamp('2026-01-01T00:00:00Z') && request.note == 'n'`,
			`at { seconds: 1800000000 } note { value: "n" }`, nil, codes.OK},
		{"nested messages", `request.parent.parent.owner == 'x' && has(request.parent) && !has(request.parent.parent.parent)`,
			`parent { parent { owner: "x" } }`, nil, codes.OK},
		{"a message made by the expression", `shop.v1.Order{owner: principal}.owner == request.owner`, `owner: "ada"`, nil, codes.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policytest.JwtPolicy(nil)
			p.Auth.Allow = test.allow
			set := policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Buy", p))
			r := policytest.WithToken(policytest.SecretToken(t, test.claims))
			r.RPC = "shop.v1.Shop/Buy"
			r.HTTP.Header["X-Team"] = []string{"blue", "red"}
			for _, name := range []string{"X-Transom-Principal", "X-Transom-Roles", "X-Transom-Claim-Org"} {
				r.HTTP.Header[name] = []string{"owner"}
			}
			ctx, err := set.Admit(context.Background(), r)
			if set.ReadsMessages() != strings.Contains(test.allow, "request.") {
				t.Errorf("ReadsMessages is %v", set.ReadsMessages())
			}
			if err == nil {
				err = set.Message(ctx, r, policytest.WireOf(t, "Order", test.request))
			}
			policytest.WantCode(t, err, test.want)
		})
	}
}

// TestAllowJudgesEachMessage: on a stream every message is asked about.
func TestAllowJudgesEachMessage(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	p := policytest.JwtPolicy(nil)
	p.Auth.Allow = `request.owner == principal`
	set := policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Watch", p))
	r := policytest.WithToken(policytest.SecretToken(t, nil))
	ctx, err := set.Admit(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	policytest.WantCode(t, set.Message(ctx, r, policytest.WireOf(t, "Order", `owner: "ada"`)), codes.OK)
	policytest.WantCode(t, set.Message(ctx, r, policytest.WireOf(t, "Order", `owner: "eve"`)), codes.PermissionDenied)
	policytest.WantCode(t, set.Message(ctx, r, policytest.NotWire), codes.InvalidArgument)
	if r.RefusedBy != "auth" {
		t.Errorf("refused by %q", r.RefusedBy)
	}
}

// TestAllowIsBounded: whatever a client sends, an expression ends.
func TestAllowIsBounded(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	p := policytest.JwtPolicy(nil)
	p.Auth.Allow = `request.tags.all(a, request.tags.all(b, request.tags.all(c, a + b + c != 'x')))`
	set := policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Buy", p))
	r := policytest.WithToken(policytest.SecretToken(t, nil))
	ctx, err := set.Admit(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	order := policytest.WireOf(t, "Order", strings.Repeat(`tags: "y" `, 5000))
	policytest.WantCode(t, set.Message(ctx, r, order), codes.PermissionDenied)

	gone, cancel := context.WithCancel(ctx)
	cancel()
	policytest.WantCode(t, set.Message(gone, r, order), codes.Canceled)
}

func TestAllowThatDoesNotCompile(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	for _, test := range []struct{ allow, want string }{
		{`principal ==`, "auth.allow: the expression is wrong at 1:"},
		{`claim.sub == 'x'`, "auth.allow: the expression is wrong at 1:1: undeclared reference to 'claim'"},
		{`principal`, "auth.allow: the expression gives string, expected bool"},
		{"principal == 'x' &&\n  request.ownr == 'x'", "auth.allow: the expression is wrong at 2:10: undefined field 'ownr'"},
		{`request.amount == 'x'`, "found no matching overload"},
		{`principal == 1`, "found no matching overload"},
		{strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000), "auth.allow: the expression is wrong"},
		{"'" + strings.Repeat("x", 16<<10) + "' == ''", "auth.allow: the expression is wrong"},
	} {
		p := policytest.JwtPolicy(nil)
		p.Auth.Allow = test.allow
		_, problems := b.Compile(policytest.ShopTarget("Buy", p))
		if len(problems) != 1 || !strings.Contains(problems[0].String(), test.want) || !strings.HasPrefix(problems[0].String(), "shop.proto:3:7: ") {
			t.Errorf("%.60q: got %q, want one problem with %q", test.allow, problems, test.want)
		}
	}
	p := policytest.JwtPolicy(nil)
	p.Auth.Allow = `request.owner == 'x'`
	_, problems := b.Compile(policy.Target{RPC: "/legacy/", Layers: []policy.Layer{{Policy: p}}})
	if len(problems) != 1 || !strings.Contains(problems.Error(), "plain HTTP route has no message") {
		t.Errorf("a plain HTTP route: %v", problems)
	}
}

func BenchmarkAllowClaims(b *testing.B) {
	bench := policytest.SecretBench(b, nil, kinds.All()...)
	p := policytest.JwtPolicy(nil)
	p.Auth.Allow = `claims.org == 'x' && 'admin' in roles`
	benchAllow(b, policytest.MustCompile(b, bench.Compiler, policytest.ShopTarget("Buy", p)), nil)
}

func BenchmarkAllowRequest(b *testing.B) {
	bench := policytest.SecretBench(b, nil, kinds.All()...)
	p := policytest.JwtPolicy(nil)
	p.Auth.Allow = `request.owner == principal`
	benchAllow(b, policytest.MustCompile(b, bench.Compiler, policytest.ShopTarget("Buy", p)), policytest.WireOf(b, "Order", `owner: "ada" amount: 7 tags: "a" tags: "b"`))
}

func benchAllow(b *testing.B, set *policy.Set, message []byte) {
	r := policytest.WithToken(policytest.SecretToken(b, map[string]any{"org": "x"}))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		r.Metadata = r.Metadata[:0]
		if _, err := set.Admit(ctx, r); err != nil {
			b.Fatal(err)
		}
		if err := set.Message(ctx, r, message); err != nil {
			b.Fatal(err)
		}
	}
}
