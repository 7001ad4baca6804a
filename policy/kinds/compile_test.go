package kinds_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestPrecedence(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	set := policytest.MustCompile(t, b.Compiler, policy.Target{Layers: policytest.LayersOf(t,
		`timeout { seconds: 1 } idle_timeout { seconds: 10 } auth { jwt {} roles: "a" roles: "b" } json { proto_names: true }`, // defaults
		`timeout { seconds: 2 } auth { jwt { required_claims: "x" } }`,                                                         // service
		``,                       // a method without an option
		`timeout { seconds: 3 }`, // configuration, "a.*"
		`json { enums_as_numbers: true } status { code: "NOT_FOUND" http_status: 410 }`, // configuration, the method
	)})
	if set.Timeout != 3*time.Second || set.IdleTimeout != 10*time.Second {
		t.Errorf("timeouts %v, %v", set.Timeout, set.IdleTimeout)
	}
	if auth := set.Effective.GetAuth(); len(auth.GetRoles()) != 0 || len(auth.GetJwt().GetRequiredClaims()) != 1 {
		t.Errorf("a narrower auth must replace the wider one whole, got %v", auth)
	}
	if j := set.Effective.GetJson(); j.GetProtoNames() || !j.GetEnumsAsNumbers() {
		t.Errorf("a narrower json must replace the wider one whole, got %v", j)
	}
	want := []policy.Explained{
		{Name: "auth", Summary: "a token of https://id.test with the claims x", Where: "layer.yaml:2:1"},
		{Name: "timeout", Summary: "3s", Where: "layer.yaml:4:1"},
		{Name: "idle_timeout", Summary: "10s", Where: "layer.yaml:1:1"},
		{Name: "json", Summary: "enums_as_numbers", Where: "layer.yaml:5:1"},
		{Name: "status", Summary: "code NOT_FOUND, http_status 410", Where: "layer.yaml:5:1"},
	}
	if got := set.Explain(); !slices.Equal(got, want) {
		t.Errorf("explained as\n%+v, want\n%+v", got, want)
	}
}

func TestAnonymousOpensOneMethod(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	closed := policytest.MustCompile(t, b.Compiler, policy.Target{Layers: policytest.LayersOf(t, `auth { jwt {} roles: "admin" }`, ``)})
	open := policytest.MustCompile(t, b.Compiler, policy.Target{Layers: policytest.LayersOf(t, `auth { jwt {} roles: "admin" }`, `auth { anonymous {} }`)})
	policytest.WantCode(t, policytest.LetIn(closed, policytest.NewCall(nil)), codes.Unauthenticated)
	policytest.WantCode(t, policytest.LetIn(open, policytest.NewCall(nil)), codes.OK)
	if got := open.Explain(); len(got) != 1 || got[0] != (policy.Explained{Name: "auth", Summary: "anonymous: anybody may call", Where: "layer.yaml:2:1"}) {
		t.Errorf("explained as %+v", got)
	}
	reclosed := policytest.MustCompile(t, b.Compiler, policy.Target{Layers: policytest.LayersOf(t, ``, `auth { anonymous {} }`, `auth { jwt {} }`)})
	policytest.WantCode(t, policytest.LetIn(reclosed, policytest.NewCall(nil)), codes.Unauthenticated) // the operator has the last word
}

func TestTimeoutsOfStreams(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds.All()...)
	wide := policy.Layer{Policy: &transomv1.Policy{Timeout: durationpb.New(time.Second)}}
	own := wide
	own.Exact = true
	for _, test := range []struct {
		name   string
		target policy.Target
		want   time.Duration
	}{
		{"Semantics 42: a stream has no timeout of its service", policy.Target{Method: policytest.ShopMethod("Watch"), Layers: []policy.Layer{wide}}, 0},
		{"a stream's own", policy.Target{Method: policytest.ShopMethod("Watch"), Layers: []policy.Layer{wide, own}}, time.Second},
		{"a unary method's service", policy.Target{Method: policytest.ShopMethod("Buy"), Layers: []policy.Layer{wide}}, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := policytest.MustCompile(t, b.Compiler, test.target).Timeout; got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	for _, test := range []struct{ policy, want string }{
		{`events { type: "x" }`, "found events, which this version"},
		{`timeout { seconds: -1 }`, "timeout: found -1s"},
		{`timeout { seconds: 1 nanos: -1 }`, "timeout: found"},
		{`idle_timeout { seconds: 315576000000 }`, "idle_timeout: found"},
		{`status { code: "NOTFOUND" http_status: 404 }`, `status[0].code: found "NOTFOUND", expected a gRPC code, ABORTED, `},
		{`status { code: "OK" http_status: 201 }`, `status[0].code: found "OK", but errors alone are mapped`},
		{`status { code: "canceled" http_status: 404 }`, `status[0].code: found "canceled"`},
		{`status { code: "CANCELED" http_status: 404 } status { code: "CANCELLED" http_status: 405 }`, `status[1].code: "CANCELLED" stands here a second time`},
		{`status { code: "-1" http_status: 404 }`, `status[0].code: found "-1"`},
		{`status { code: "NOT_FOUND" http_status: 404 } status { code: "5" http_status: 404 }`, `status[1].code: "5" stands here a second time`},
		{`status { code: "NOT_FOUND" http_status: 199 }`, "status[0].http_status: found 199, expected 200 to 599"},
		{`status { code: "5002" http_status: 600 }`, "status[0].http_status: found 600"},
		{`response_metadata { headers: "location" headers: "a b" }`, `response_metadata.headers: found "a b", expected the name of a header`},
		{`response_metadata { headers: "Transfer-Encoding" }`, `found "Transfer-Encoding", which the gateway sets itself`},
		{`response_metadata { headers: "grpc-status" }`, `found "grpc-status", which belongs to gRPC`},
		{`auth {}`, "auth is empty; expected jwt, session, mixed, mtls or anonymous"},
		{`auth { anonymous {} roles: "a" roles: "b" }`, "auth.roles demands one of a, b, but the method is anonymous"},
		{`auth { anonymous {} scopes: "a" }`, "auth.scopes demands a, but the method is anonymous"},
		{`auth { anonymous {} allow: "true" }`, "auth.allow demands something of the caller, but the method is anonymous"},
		{`auth { roles: "a" }`, "auth.roles demands one of a, but auth names no mechanism: add jwt, session, mixed or mtls"},
		{`auth { jwt { issuers: "x" } }`, `auth.jwt: found the issuer "x", expected one of the configuration's auth.jwt: https://id.test`},
		{`auth { mixed { jwt { issuers: "x" } } }`, `auth.mixed.jwt: found the issuer "x"`},
		{`auth { jwt { cookie: "a;b" } }`, `auth.jwt.cookie: found "a;b"`},
		{`auth { jwt {} roles: "" }`, `auth.roles: found "", expected a name`},
		{`auth { jwt {} scopes: "a b" }`, `auth.scopes: found "a b", expected a name`},
		{`auth { session {} scopes: "a" }`, "auth.scopes demands a, but sessions have no scopes: use roles"},
		{`auth { jwt {} allow: "1" }`, "auth.allow: the expression gives int, expected bool"},
		{`rate_limit { requests: 1 store: REDIS }`, "redis"},
	} {
		t.Run(test.policy, func(t *testing.T) {
			b := policytest.SecretBench(t, nil, kinds.All()...)
			asked := ""
			set, problems := b.Compile(policy.Target{Layers: []policy.Layer{{Policy: policytest.PolicyOf(t, test.policy), Where: "x.proto:1:1",
				Position: func(path string) string { asked = path; return "x.proto:12:3" }}}})
			if set != nil || len(problems) != 1 {
				t.Fatalf("got %v, %q, want one problem", set, problems)
			}
			p := problems[0]
			if p.File != "x.proto" || p.Line != 12 || p.Column != 3 || !strings.Contains(strings.ToLower(p.Message), strings.ToLower(test.want)) {
				t.Errorf("got %q, want %q", p, test.want)
			}
			if field := asked[:strings.IndexAny(asked+".", ".[")]; !strings.HasPrefix(test.policy, field) {
				t.Errorf("the position of %q was asked", asked)
			}
		})
	}
}

func TestRefusedWithoutIssuers(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds.All()...)
	for text, want := range map[string]string{
		`auth { jwt {} }`:               "auth.jwt demands a token, but the configuration has no auth.jwt",
		`auth { mixed {} }`:             "auth.mixed.jwt demands a token, but the configuration has no auth.jwt",
		`auth { jwt { issuers: "x" } }`: `found the issuer "x", but the configuration has no auth.jwt`,
	} {
		if _, problems := b.Compile(policy.Target{Layers: policytest.LayersOf(t, text)}); len(problems) != 1 || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: got %q, want %q", text, problems, want)
		}
	}
}

func TestAllProblemsAreTold(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds.All()...)
	_, problems := b.Compile(policy.Target{Layers: policytest.LayersOf(t, `events { type: "x" }`, `timeout { seconds: -1 } auth { anonymous {} roles: "a" }`)})
	if got, want := problems.Error(), strings.Join([]string{
		"layer.yaml:1:1: found events, which this version of Transom does not have: remove it",
		"layer.yaml:2:1: timeout: found -1s, expected a time above 0s and up to 8760h (365 days)",
		"layer.yaml:2:1: auth.roles demands one of a, but the method is anonymous, so nothing is known of the caller: remove one of the two",
	}, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestIssuersThatAreRefused(t *testing.T) {
	k := keytest.TestKeys()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secret", k.Secret+"\n")
	write("empty.json", `{"keys":[]}`)
	write("keys.json", string(keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "ed", nil))))
	secret := func(s string) func(*transomv1.JwtIssuer) {
		return func(i *transomv1.JwtIssuer) { i.Keys = &transomv1.JwtIssuer_Secret{Secret: s} }
	}
	public := func(s string) func(*transomv1.JwtIssuer) {
		return func(i *transomv1.JwtIssuer) { i.Keys = &transomv1.JwtIssuer_PublicKey{PublicKey: s} }
	}
	file := func(s string) func(*transomv1.JwtIssuer) {
		return func(i *transomv1.JwtIssuer) { i.Keys = &transomv1.JwtIssuer_JwksFile{JwksFile: s} }
	}
	address := func(s string) func(*transomv1.JwtIssuer) {
		return func(i *transomv1.JwtIssuer) { i.Keys = &transomv1.JwtIssuer_JwksUrl{JwksUrl: s} }
	}
	with := func(edits ...func(*transomv1.JwtIssuer)) func(*transomv1.JwtIssuer) {
		return func(i *transomv1.JwtIssuer) {
			for _, edit := range edits {
				edit(i)
			}
		}
	}
	for _, test := range []struct {
		name string
		edit func(*transomv1.JwtIssuer)
		want string // empty: it is good
	}{
		{"a secret in a file", secret("file:secret"), ""},
		{"a key file", file("keys.json"), ""},
		{"no name", with(secret(k.Secret), func(i *transomv1.JwtIssuer) { i.Issuer = "" }), "auth.jwt[0].issuer: found nothing"},
		{"no keys", func(*transomv1.JwtIssuer) {}, "auth.jwt[0]: found no keys, expected one of jwks_url, jwks_file, public_key, secret"},
		{"a short secret", secret("hunter2"), "auth.jwt[0].secret: found a secret of 7 bytes, expected 32 at least"},
		{"a missing file", secret("file:nowhere"), "auth.jwt[0].secret: open "},
		{"an algorithm for public keys", with(secret(k.Secret), func(i *transomv1.JwtIssuer) { i.Algorithms = []string{"RS256"} }),
			"auth.jwt[0].secret: the configured algorithms [RS256] do not fit the key, which can do [HS256 HS384 HS512]"},
		{"an algorithm for secrets", with(public(keytest.PublicPEM(t, &k.RSA.PublicKey)), func(i *transomv1.JwtIssuer) { i.Algorithms = []string{"HS256"} }),
			"auth.jwt[0].public_key: the configured algorithms [HS256] do not fit"},
		{"alg none", with(secret(k.Secret), func(i *transomv1.JwtIssuer) { i.Algorithms = []string{"none"} }), `auth.jwt[0].algorithms: found "none"`},
		{"no PEM", public("x"), "auth.jwt[0].public_key: found no PEM block"},
		{"two PEM blocks", public(keytest.PublicPEM(t, &k.RSA.PublicKey) + keytest.PublicPEM(t, &k.RSA.PublicKey)), "more than one PEM block"},
		{"a private key in public", public(keytest.PrivatePEM(t, k.Ed)), `found a PEM block "PRIVATE KEY"`},
		{"an empty key set", file("empty.json"), "auth.jwt[0].jwks_file: the key set has no usable key among 0"},
		{"a missing key set", file("nowhere.json"), "auth.jwt[0].jwks_file: open "},
		{"no URL", address("id.test/keys"), "auth.jwt[0].jwks_url: found no URL of a key set"},
		{"another scheme", address("ftp://id.test/keys"), "auth.jwt[0].jwks_url: found no URL of a key set"},
		{"a short refresh", with(address("https://127.0.0.1:1/"), func(i *transomv1.JwtIssuer) { i.Refresh = durationpb.New(1) }), "the refresh is 1ns"},
		{"a negative leeway", with(secret(k.Secret), func(i *transomv1.JwtIssuer) { i.Leeway = durationpb.New(-1) }), "auth.jwt[0].leeway: found -1ns"},
		{"a private key beside a secret", with(secret(k.Secret), func(i *transomv1.JwtIssuer) { i.PrivateKey = keytest.PrivatePEM(t, k.Ed) }),
			"auth.jwt[0].private_key: found a private key beside a secret"},
		{"another private key", with(public(keytest.PublicPEM(t, &k.RSA.PublicKey)), func(i *transomv1.JwtIssuer) { i.PrivateKey = keytest.PrivatePEM(t, k.OtherRSA) }),
			"auth.jwt[0].private_key: the private key does not belong to public_key"},
		{"a claim that is no metadata", with(secret(k.Secret), func(i *transomv1.JwtIssuer) { i.ForwardClaims = []string{"https://x/y"} }),
			`auth.jwt[0].forward_claims: found the claim "https://x/y"`},
		{"two claims of one name", with(secret(k.Secret), func(i *transomv1.JwtIssuer) { i.ForwardClaims = []string{"a", "A"} }),
			"auth.jwt[0].forward_claims: two claims become the metadata x-transom-claim-a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := policy.NewState(policy.StateOptions{Log: slog.New(slog.DiscardHandler), Offline: true})
			defer func() { _ = state.Close() }()
			c, problems := policy.New(kinds.All(), policy.Environment{State: state, Directory: dir, Position: func(string) string { return "transom.yaml:9:7" },
				Config: &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{policytest.JwtIssuer(test.edit)}}}})
			defer c.Close()
			if test.want == "" {
				if len(problems) != 0 {
					t.Error(problems.Error())
				}
				return
			}
			if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "transom.yaml:9:7: auth.jwt[0]") || !strings.Contains(problems[0].String(), test.want) {
				t.Errorf("got %q, want %q", problems, test.want)
			}
			if strings.Contains(problems.Error(), "hunter2") {
				t.Error("a problem tells the secret")
			}
			// A method that names the issuer is not blamed as well.
			if _, more := c.Compile(policy.Target{Layers: []policy.Layer{{Policy: policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.Issuers = []string{"https://id.test"} })}}}); len(more) != 0 && test.name != "no name" {
				t.Errorf("the method is blamed: %q", more)
			}
		})
	}
	twice := policytest.JwtIssuer(secret(k.Secret))
	state := policy.NewState(policy.StateOptions{})
	defer func() { _ = state.Close() }()
	c, problems := policy.New(kinds.All(), policy.Environment{State: state, Config: &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{twice, twice}}}})
	defer c.Close()
	if len(problems) != 1 || !strings.Contains(problems.Error(), `auth.jwt[1].issuer: the issuer "https://id.test" stands here a second time`) {
		t.Errorf("an issuer given twice: %q", problems)
	}
}

// heard is an Observer that remembers.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (h *heard) Decision(policy, rpc, result string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, policy+" "+rpc+" "+result)
}

func TestObserverHearsDecisions(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	ear := &heard{}
	b.Generation.Observer = ear
	set := policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Buy", policytest.PolicyOf(t, `auth { jwt {} roles: "admin" allow: "request.owner == principal" }`)))
	call := func(claims map[string]any, order string) {
		r := policytest.WithToken(policytest.SecretToken(t, claims))
		r.RPC = "shop.v1.Shop/Buy"
		ctx, err := set.Admit(context.Background(), r)
		if err == nil {
			_ = set.Message(ctx, r, policytest.WireOf(t, "Order", order))
		}
	}
	call(nil, `owner: "ada"`)
	call(nil, `owner: "eve"`)
	call(map[string]any{"roles": nil}, ``)
	call(map[string]any{"iss": "x"}, ``)
	want := []string{
		"auth shop.v1.Shop/Buy allow", "auth shop.v1.Shop/Buy allow",
		"auth shop.v1.Shop/Buy allow", "auth shop.v1.Shop/Buy allow", "auth shop.v1.Shop/Buy permission_denied",
		"auth shop.v1.Shop/Buy allow", "auth shop.v1.Shop/Buy permission_denied",
		"auth shop.v1.Shop/Buy unauthenticated",
	}
	if !slices.Equal(ear.all, want) {
		t.Errorf("heard\n%s\nwant\n%s", strings.Join(ear.all, "\n"), strings.Join(want, "\n"))
	}
}
