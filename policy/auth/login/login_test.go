package login_test

import (
	"encoding/base64"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestLoginIssuesTokens: a token that login issues is one that auth accepts.
func TestLoginIssuesTokens(t *testing.T) {
	k := keytest.TestKeys()
	for name, edit := range map[string]func(*transomv1.JwtIssuer){
		"secret": nil,
		"RSA": func(i *transomv1.JwtIssuer) {
			i.Keys = &transomv1.JwtIssuer_PublicKey{PublicKey: keytest.PublicPEM(t, &k.RSA.PublicKey)}
			i.PrivateKey = keytest.PrivatePEM(t, k.RSA)
		},
		"RSA, PSS": func(i *transomv1.JwtIssuer) {
			i.Keys = &transomv1.JwtIssuer_PublicKey{PublicKey: keytest.PublicPEM(t, &k.RSA.PublicKey)}
			i.PrivateKey, i.Algorithms = keytest.PrivatePEM(t, k.RSA), []string{"PS384"}
		},
		"ECDSA": func(i *transomv1.JwtIssuer) {
			i.Keys = &transomv1.JwtIssuer_PublicKey{PublicKey: keytest.PublicPEM(t, &k.P384.PublicKey)}
			i.PrivateKey = keytest.PrivatePEM(t, k.P384)
		},
		"Ed25519 from a key set": func(i *transomv1.JwtIssuer) {
			server := keytest.NewKeyServer(t, keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "now", nil), keytest.PublicJWK(&k.RSA.PublicKey, "old", nil)))
			i.Keys = &transomv1.JwtIssuer_JwksUrl{JwksUrl: server.URL}
			i.PrivateKey, i.KeyId = keytest.PrivatePEM(t, k.Ed), "now"
		},
		"claims by path": func(i *transomv1.JwtIssuer) { i.PrincipalClaim, i.RolesClaim = "email_address", "realm_access.roles" },
		"claims by URL":  func(i *transomv1.JwtIssuer) { i.RolesClaim = "https://id.test/roles" },
	} {
		t.Run(name, func(t *testing.T) {
			b := policytest.SecretBench(t, edit, kinds.All()...)
			for _, field := range []string{"", "token"} {
				login := policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Login", policytest.LoginPolicyOf(policytest.TokenLogin(func(g *transomv1.TokenGrant) { g.Field = field }))))
				r := policytest.NewCall(nil)
				reply, err := policytest.Through(login, r, policytest.WireOf(t, "LoginReply", policytest.AdaReply+` token: "before"`))
				if err != nil {
					t.Fatal(err)
				}
				m := policytest.MessageOf(t, "LoginReply", reply)
				if got := m.Get(m.Descriptor().Fields().ByName("token")).String(); (got == "before") != (field == "") {
					t.Errorf("the field holds %q", got)
				}
				if r.ResponseHeader.Get("Cache-Control") != "no-store" {
					t.Error("the answer may be kept by others")
				}
				raw := policytest.Issued(t, r, reply)
				if field == "" {
					raw = strings.TrimPrefix(r.ResponseHeader.Get("Authorization"), "Bearer ")
				}
				call := policytest.WithToken(raw)
				if err := policytest.LetIn(b.Set(t, policytest.JwtPolicy(nil)), call); err != nil {
					t.Fatal(err)
				}
				id := call.Identity
				if id.Principal != "ada" || !slices.Equal(id.Roles, []string{"reader", "admin"}) || id.Claims["email"] != "ada@x" ||
					id.Claims["number"] != int64(9007199254740993) || id.Claims["sub"] != "ada" {
					t.Errorf("identity %+v", id)
				}
			}
		})
	}
}

func TestIssuedTokensExpire(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	for _, ttl := range []time.Duration{0, time.Minute} {
		login := policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Login", policytest.LoginPolicyOf(policytest.TokenLogin(func(g *transomv1.TokenGrant) {
			if ttl > 0 {
				g.Ttl = durationpb.New(ttl)
			}
		}))))
		r := policytest.NewCall(nil)
		reply, err := policytest.Through(login, r, policytest.WireOf(t, "LoginReply", policytest.AdaReply))
		if err != nil {
			t.Fatal(err)
		}
		raw := policytest.Issued(t, r, reply)
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
			t.Fatal(err)
		}
		want := ttl
		if ttl == 0 {
			want = 15 * time.Minute
		}
		expires, err := claims.GetExpirationTime()
		if err != nil || !expires.Equal(b.Clock.Now().Add(want)) {
			t.Errorf("it expires at %v, %v, want %v from now", expires, err, want)
		}
		if jti, _ := claims["jti"].(string); len(jti) != 43 {
			t.Errorf("jti %q", jti)
		}
		b.Clock.Advance(want + 30*time.Second)
		policytest.WantCode(t, policytest.LetIn(b.Set(t, policytest.JwtPolicy(nil)), policytest.WithToken(raw)), codes.Unauthenticated)
	}
}

func TestLoginReadsFields(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	all := map[string]string{"level": "user.level", "score": "user.score", "blob": "blob", "count": "count", "roles2": "user.roles", "deep": "user.session.user.id"}
	for _, test := range []struct {
		name, subject, roles, reply string
		principal                   string // empty: nobody is logged in
		wantRoles                   []string
		claims                      map[string]any
	}{
		{"a string", "user.id", "user.roles", policytest.AdaReply, "ada", []string{"reader", "admin"},
			map[string]any{"level": "NONE", "score": int64(0), "blob": "", "count": int64(1), "roles2": []any{"reader", "admin"}}},
		{"a number", "user.number", "user.level", `user { number: -7 level: ADMIN score: 0.5 } blob: "\xff\x00"`, "-7", []string{"ADMIN"},
			map[string]any{"level": "ADMIN", "score": 0.5, "blob": base64.StdEncoding.EncodeToString([]byte{0xff, 0}), "count": int64(0), "roles2": []any{}}},
		{"an enum", "user.level", "user.level", `user { level: READER }`, "READER", []string{"READER"}, nil},
		{"deep", "user.session.user.id", "", `user { session { user { id: "deep" } } }`, "deep", nil, nil},
		{"the empty string logs nobody in", "user.id", "", `user { number: 1 }`, "", nil, nil},
		{"0 logs nobody in", "user.number", "", `user { id: "x" number: 0 }`, "", nil, nil},
		{"the first enum value logs nobody in", "user.level", "", `user { id: "x" }`, "", nil, nil},
		{"no message on the way", "user.id", "", `count: 1`, "", nil, nil},
		{"an empty answer", "user.id", "", ``, "", nil, nil},
		{"a control character", "user.id", "", `user { id: "a\nb" }`, "", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &transomv1.Policy{Login: &transomv1.Login{Subject: test.subject, Roles: test.roles, Claims: all,
				Grant: &transomv1.Login_Session{Session: &transomv1.SessionGrant{}}}}
			r := policytest.NewCall(nil)
			before := policytest.WireOf(t, "LoginReply", test.reply)
			reply, err := policytest.Through(policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Login", p)), r, before)
			if err != nil || string(reply) != string(before) {
				t.Fatalf("the answer is %q, %v", reply, err)
			}
			cookies := (&http.Response{Header: r.ResponseHeader}).Cookies()
			if test.principal == "" {
				if len(cookies) != 0 {
					t.Errorf("somebody was logged in: %v", cookies)
				}
				return
			}
			call := policytest.WithCookies(cookies...)
			if err := policytest.LetIn(b.Set(t, policytest.SessionPolicy()), call); err != nil {
				t.Fatal(err)
			}
			if id := call.Identity; id.Principal != test.principal || !slices.Equal(id.Roles, test.wantRoles) {
				t.Errorf("identity %+v", id)
			}
			if test.claims != nil && !reflect.DeepEqual(call.Identity.Claims, test.claims) {
				t.Errorf("claims %#v, want %#v", call.Identity.Claims, test.claims)
			}
		})
	}
}

func TestLoginThatCannotBeCompleted(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	for name, reply := range map[string][]byte{
		"no message": policytest.NotWire,
		"too much":   policytest.WireOf(t, "LoginReply", `user { id: "ada" email: "`+strings.Repeat("x", 8<<10)+`" }`),
	} {
		for _, login := range []*transomv1.Login{{}, policytest.TokenLogin(nil)} {
			r := policytest.NewCall(nil)
			_, err := policytest.Through(policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Login", policytest.LoginPolicyOf(login))), r, reply)
			policytest.WantCode(t, err, codes.Internal)
			if r.ResponseHeader.Get("Set-Cookie")+r.ResponseHeader.Get("Authorization") != "" {
				t.Errorf("%s: something was granted: %v", name, r.ResponseHeader)
			}
		}
	}
}

func TestTokenIntoNestedField(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	p := policytest.LoginPolicyOf(policytest.TokenLogin(func(g *transomv1.TokenGrant) { g.Field = "user.session.token" }))
	reply, err := policytest.Through(policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Login", p)), policytest.NewCall(nil),
		policytest.WireOf(t, "LoginReply", `user { id: "ada" session { token: "old" count: 7 } }`))
	if err != nil {
		t.Fatal(err)
	}
	field := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	user := field(policytest.MessageOf(t, "LoginReply", reply).ProtoReflect(), "user").Message()
	session := field(user, "session").Message()
	if field(user, "id").String() != "ada" || field(session, "count").Int() != 7 || strings.Count(field(session, "token").String(), ".") != 2 {
		t.Errorf("the answer is %v", user)
	}
}

func TestLoginThatDoesNotCompile(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{
		{Issuer: "verifies", Keys: &transomv1.JwtIssuer_PublicKey{PublicKey: keytest.PublicPEM(t, keytest.TestKeys().Ed.Public())}},
		{Issuer: "signs", Keys: &transomv1.JwtIssuer_Secret{Secret: keytest.TestKeys().Secret}},
	}}}, kinds.All()...)
	session := &transomv1.Login_Session{Session: &transomv1.SessionGrant{}}
	grant := func(g *transomv1.TokenGrant) *transomv1.Login {
		return &transomv1.Login{Subject: "user.id", Grant: &transomv1.Login_Token{Token: g}}
	}
	for _, test := range []struct {
		name  string
		login *transomv1.Login
		want  string
	}{
		{"no subject", &transomv1.Login{Grant: session}, "login.subject: found nothing, expected a field of shop.v1.LoginReply"},
		{"no such field", &transomv1.Login{Subject: "usr.id", Grant: session},
			`login.subject: found "usr.id", but shop.v1.LoginReply has no field "usr"; it has user, token, count, blob, users`},
		{"no such inner field", &transomv1.Login{Subject: "user.name", Grant: session}, `but shop.v1.User has no field "name"`},
		{"beyond a scalar", &transomv1.Login{Subject: "token.id", Grant: session}, `login.subject: "token.id" goes beyond shop.v1.LoginReply.token`},
		{"through a list", &transomv1.Login{Subject: "users.id", Grant: session}, `goes beyond shop.v1.LoginReply.users`},
		{"a message", &transomv1.Login{Subject: "user", Grant: session}, `login.subject: "user" is a message, expected a scalar field`},
		{"a list as subject", &transomv1.Login{Subject: "user.roles", Grant: session}, `login.subject: "user.roles" is repeated, expected one value`},
		{"a float as subject", &transomv1.Login{Subject: "user.score", Grant: session}, "is a double, expected a string, an integer or an enum"},
		{"bytes as roles", &transomv1.Login{Subject: "user.id", Roles: "blob", Grant: session}, `login.roles: "blob" is a bytes`},
		{"empty path part", &transomv1.Login{Subject: "user..id", Grant: session}, `has no field ""`},
		{"no grant", &transomv1.Login{Subject: "user.id"}, "login grants nothing; expected session: {} or token: { issuer: … }"},
		{"a registered claim", &transomv1.Login{Subject: "user.id", Grant: session, Claims: map[string]string{"exp": "count"}}, `found "exp", which the gateway sets itself`},
		{"a claim of a bad name", &transomv1.Login{Subject: "user.id", Grant: session, Claims: map[string]string{"a b": "count"}}, `found the claim "a b"`},
		{"a claim of metadata's -bin", &transomv1.Login{Subject: "user.id", Grant: session, Claims: map[string]string{"x-bin": "count"}}, `cannot be the name of metadata`},
		{"two claims of one name", &transomv1.Login{Subject: "user.id", Grant: session, Claims: map[string]string{"A": "count", "a": "count"}}, "two claims become the metadata x-transom-claim-a"},
		{"no issuer", grant(&transomv1.TokenGrant{}), "login.token.issuer: found nothing"},
		{"an unknown issuer", grant(&transomv1.TokenGrant{Issuer: "x"}), `login.token.issuer: found the issuer "x", expected one of the configuration's auth.jwt: verifies, signs`},
		{"an issuer that cannot sign", grant(&transomv1.TokenGrant{Issuer: "verifies"}), "has no secret and no private_key to sign with"},
		{"a negative ttl", grant(&transomv1.TokenGrant{Issuer: "signs", Ttl: durationpb.New(-1)}), "login.token.ttl: found -1ns"},
		{"a field that is no string", grant(&transomv1.TokenGrant{Issuer: "signs", Field: "count"}), `login.token.field: "count" is no single string`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := b.Compile(policytest.ShopTarget("Login", &transomv1.Policy{Login: test.login}))
			if len(problems) != 1 || !strings.Contains(problems[0].String(), test.want) || !strings.HasPrefix(problems[0].String(), "shop.proto:3:7: ") {
				t.Errorf("got %q, want one problem with %q", problems, test.want)
			}
		})
	}
	good := policytest.LoginPolicyOf(&transomv1.Login{})
	for name, test := range map[string]struct {
		target policy.Target
		want   string
	}{
		"a stream":         {policytest.ShopTarget("Watch", good), "login needs a unary method, but shop.v1.Shop.Watch streams"},
		"plain HTTP":       {policy.Target{Layers: []policy.Layer{{Policy: good}}}, "login looks at the answer of a gRPC method; a plain HTTP route has none"},
		"logout, a stream": {policytest.ShopTarget("Watch", &transomv1.Policy{Logout: &transomv1.Logout{}}), "logout needs a unary method"},
		"both":             {policytest.ShopTarget("Login", &transomv1.Policy{Login: good.Login, Logout: &transomv1.Logout{}}), "the method has both login and logout"},
	} {
		if _, problems := b.Compile(test.target); len(problems) != 1 || !strings.Contains(problems.Error(), test.want) {
			t.Errorf("%s: got %q, want %q", name, problems, test.want)
		}
	}
}

// FuzzLoginReply: whatever a backend answers, a login neither panics nor
// grants something to nobody.
func FuzzLoginReply(f *testing.F) {
	f.Add(policytest.WireOf(f, "LoginReply", policytest.AdaReply))
	f.Add(policytest.WireOf(f, "LoginReply", `user { session { user { id: "deep" roles: "x" } } } token: "t"`))
	f.Add(policytest.NotWire)
	b := policytest.SecretBench(f, nil, kinds.All()...)
	set := policytest.MustCompile(f, b.Compiler, policytest.ShopTarget("Login", policytest.LoginPolicyOf(policytest.TokenLogin(func(g *transomv1.TokenGrant) { g.Field = "user.session.token" }))))
	accept := b.Set(f, policytest.JwtPolicy(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := policytest.NewCall(nil)
		reply, err := policytest.Through(set, r, data)
		if err != nil || len(reply) == len(data) {
			return
		}
		m := policytest.MessageOf(t, "LoginReply", reply).ProtoReflect()
		for _, name := range []protoreflect.Name{"user", "session"} {
			m = m.Get(m.Descriptor().Fields().ByName(name)).Message()
		}
		token := m.Get(m.Descriptor().Fields().ByName("token")).String()
		if err := policytest.LetIn(accept, policytest.WithToken(token)); err != nil {
			t.Errorf("the issued token %q is refused: %v", token, err)
		}
	})
}

// TestLoginIssuesScopes: a claim "scope" is what auth.scopes asks for.
func TestLoginIssuesScopes(t *testing.T) {
	b := policytest.SecretBench(t, func(*transomv1.JwtIssuer) {}, kinds.All()...)
	p := policytest.LoginPolicyOf(policytest.TokenLogin(func(*transomv1.TokenGrant) {}))
	p.Login.Claims = map[string]string{"scope": "user.roles"}
	r := policytest.NewCall(nil)
	_, err := policytest.Through(policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Login", p)), r, policytest.WireOf(t, "LoginReply", policytest.AdaReply))
	if err != nil {
		t.Fatal(err)
	}
	call := policytest.WithToken(strings.TrimPrefix(r.ResponseHeader.Get("Authorization"), "Bearer "))
	if err := policytest.LetIn(b.Set(t, policytest.JwtPolicy(nil)), call); err != nil || !slices.Equal(call.Identity.Scopes, []string{"reader", "admin"}) {
		t.Errorf("%v, scopes %q", err, call.Identity.Scopes)
	}
}
