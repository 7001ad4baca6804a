package token

import (
	"context"
	"crypto"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/token/keys"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestEveryAlgorithmIsVerified(t *testing.T) {
	k := keytest.TestKeys()
	for _, test := range []struct {
		method  jwt.SigningMethod
		private any
		public  crypto.PublicKey
	}{
		{jwt.SigningMethodRS256, k.RSA, &k.RSA.PublicKey},
		{jwt.SigningMethodRS384, k.RSA, &k.RSA.PublicKey},
		{jwt.SigningMethodRS512, k.RSA, &k.RSA.PublicKey},
		{jwt.SigningMethodPS256, k.RSA, &k.RSA.PublicKey},
		{jwt.SigningMethodPS384, k.RSA, &k.RSA.PublicKey},
		{jwt.SigningMethodPS512, k.RSA, &k.RSA.PublicKey},
		{jwt.SigningMethodES256, k.P256, &k.P256.PublicKey},
		{jwt.SigningMethodES384, k.P384, &k.P384.PublicKey},
		{jwt.SigningMethodEdDSA, k.Ed, k.Ed.Public()},
		{jwt.SigningMethodHS256, []byte(k.Secret), nil},
		{jwt.SigningMethodHS384, []byte(k.Secret), nil},
		{jwt.SigningMethodHS512, []byte(k.Secret), nil},
	} {
		t.Run(test.method.Alg(), func(t *testing.T) {
			b := policytest.SecretBench(t, func(i *transomv1.JwtIssuer) {
				if test.public != nil {
					i.Keys = &transomv1.JwtIssuer_PublicKey{PublicKey: keytest.PublicPEM(t, test.public)}
				}
			}, tokenKinds()...)
			r := policytest.WithToken(keytest.Token(t, test.method, test.private, map[string]any{"kid": "whatever"}, policytest.GoodClaims(nil)))
			if err := policytest.LetIn(b.Set(t, policytest.JwtPolicy(nil)), r); err != nil {
				t.Fatal(err)
			}
			if id := r.Identity; id.Principal != "ada" || id.Mechanism != "jwt" || !slices.Equal(id.Roles, []string{"reader", "admin"}) ||
				!slices.Equal(id.Scopes, []string{"books.read", "books.write"}) {
				t.Errorf("identity %+v", id)
			}
		})
	}
}

func TestTokenSources(t *testing.T) {
	b := policytest.SecretBench(t, nil, tokenKinds()...)
	good, bad := policytest.SecretToken(t, nil), "x.y.z"
	plain := b.Set(t, policytest.JwtPolicy(nil))
	wide := b.Set(t, policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.AllowQuery, j.Cookie = true, "token" }))
	if got := plain.QueryParameters(); len(got) != 0 {
		t.Errorf("query parameters %q, want none", got)
	}
	if got := wide.QueryParameters(); !slices.Equal(got, []string{"access_token"}) {
		t.Errorf("query parameters %q", got)
	}
	header := func(name, value string) func(*policy.Request) {
		return func(r *policy.Request) { r.HTTP.Header.Add(name, value) }
	}
	query := func(q string) func(*policy.Request) { return func(r *policy.Request) { r.HTTP.URL.RawQuery = q } }
	socket := func(protocols ...string) func(*policy.Request) {
		return func(r *policy.Request) {
			r.WebSocket, r.HTTP.Method = true, http.MethodGet
			r.HTTP.Header["Sec-Websocket-Protocol"] = protocols
		}
	}
	both := func(edits ...func(*policy.Request)) func(*policy.Request) {
		return func(r *policy.Request) {
			for _, edit := range edits {
				edit(r)
			}
		}
	}
	for _, test := range []struct {
		name string
		set  *policy.Set
		edit func(*policy.Request)
		want codes.Code
	}{
		{"Authorization", plain, header("Authorization", "Bearer "+good), codes.OK},
		{"Authorization in lower case", plain, header("Authorization", "bearer "+good), codes.OK},
		{"Authorization with spaces", plain, header("Authorization", "Bearer   "+good+" "), codes.OK},
		{"Authorization without a space", plain, header("Authorization", "Bearer"+good), codes.Unauthenticated},
		{"Authorization with the scheme alone", plain, header("Authorization", "Bearer"), codes.Unauthenticated},
		{"another scheme", plain, header("Authorization", "Basic "+good), codes.Unauthenticated},
		{"Authorization twice", plain, both(header("Authorization", "Bearer "+good), header("Authorization", "Bearer "+good)), codes.Unauthenticated},
		{"nothing", plain, nil, codes.Unauthenticated},
		{"a query parameter where it is off", plain, query("access_token=" + good), codes.Unauthenticated},
		{"a cookie where it is off", plain, header("Cookie", "token="+good), codes.Unauthenticated},
		{"Semantics 38: a subprotocol", plain, socket("transom.json, bearer." + good), codes.OK},
		{"Semantics 38: a subprotocol on a line of its own", plain, socket("transom.json", "bearer."+good), codes.OK},
		{"two subprotocols with tokens", plain, socket("bearer." + good + ", bearer." + good), codes.Unauthenticated},
		{"a subprotocol without an upgrade", plain, header("Sec-Websocket-Protocol", "bearer."+good), codes.Unauthenticated},
		{"a query parameter", wide, query("a=b&access_token=" + good), codes.OK},
		{"two query parameters", wide, query("access_token=" + good + "&access_token=" + good), codes.Unauthenticated},
		{"another query parameter", wide, query("xaccess_token=" + good), codes.Unauthenticated},
		{"a cookie", wide, header("Cookie", "a=b; token="+good+"; c=d"), codes.OK},
		{"two cookies", wide, header("Cookie", "token="+good+"; token="+good), codes.Unauthenticated},
		{"a cookie from another site", wide, both(header("Cookie", "token="+good), header("Sec-Fetch-Site", "cross-site")), codes.PermissionDenied},
		{"a bad header before a good cookie", wide, both(header("Authorization", "Bearer "+bad), header("Cookie", "token="+good)), codes.Unauthenticated},
		{"a good header before a bad cookie", wide, both(header("Authorization", "Bearer "+good), header("Cookie", "token="+bad)), codes.OK},
		{"another scheme and a good cookie", wide, both(header("Authorization", "Basic x"), header("Cookie", "token="+good)), codes.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := policytest.NewCall(test.edit)
			err := policytest.LetIn(test.set, r)
			policytest.WantCode(t, err, test.want)
			challenge := r.ResponseHeader.Get("WWW-Authenticate")
			if (status.Code(err) == codes.Unauthenticated) != (challenge != "") {
				t.Errorf("WWW-Authenticate is %q beside %v", challenge, err)
			}
			if err == auth.ErrNoCredentials && strings.Contains(challenge, "error") {
				t.Errorf("nothing was sent, yet the challenge is %q", challenge)
			}
		})
	}
}

func TestWhatAMethodDemandsOfTokens(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{
		{Issuer: "a", Audience: "books", Keys: &transomv1.JwtIssuer_Secret{Secret: keytest.TestKeys().Secret}},
		{Issuer: "b", Keys: &transomv1.JwtIssuer_Secret{Secret: strings.Repeat("b", 32)}, PrincipalClaim: "email", RolesClaim: "realm_access.roles"},
	}}}, tokenKinds()...)
	a := func(more map[string]any) string {
		claims := policytest.GoodClaims(map[string]any{"iss": "a", "aud": "books"})
		for n, v := range more {
			claims[n] = v
		}
		return keytest.Token(t, jwt.SigningMethodHS256, []byte(keytest.TestKeys().Secret), nil, claims)
	}
	bb := keytest.Token(t, jwt.SigningMethodHS256, []byte(strings.Repeat("b", 32)), nil,
		policytest.GoodClaims(map[string]any{"iss": "b", "aud": nil, "email": "ada@id.test", "realm_access": map[string]any{"roles": []string{"x", "y"}}}))
	for _, test := range []struct {
		name   string
		policy *transomv1.Policy
		token  string
		want   codes.Code
	}{
		{"any issuer, a", policytest.JwtPolicy(nil), a(nil), codes.OK},
		{"any issuer, b", policytest.JwtPolicy(nil), bb, codes.OK},
		{"a alone", policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.Issuers = []string{"a"} }), a(nil), codes.OK},
		{"a alone, asked with b", policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.Issuers = []string{"a"} }), bb, codes.Unauthenticated},
		{"an audience in place of the issuer's", policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.Audiences = []string{"other"} }), a(nil), codes.Unauthenticated},
		{"one of several audiences", policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.Audiences = []string{"other", "x"} }),
			a(map[string]any{"aud": []string{"y", "x"}}), codes.OK},
		{"a claim that is there", policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.RequiredClaims = []string{"scope"} }), a(nil), codes.OK},
		{"a nested claim", policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.RequiredClaims = []string{"org.id"} }),
			a(map[string]any{"org": map[string]any{"id": 7}}), codes.OK},
		{"a claim that is missing", policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.RequiredClaims = []string{"org.id"} }), a(nil), codes.Unauthenticated},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := b.Set(t, test.policy)
			for range 2 { // the second time from the cache
				policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(test.token)), test.want)
			}
		})
	}
	r := policytest.WithToken(bb)
	if err := policytest.LetIn(b.Set(t, policytest.JwtPolicy(nil)), r); err != nil {
		t.Fatal(err)
	}
	if r.Identity.Principal != "ada@id.test" || !slices.Equal(r.Identity.Roles, []string{"x", "y"}) {
		t.Errorf("claims by path: %+v", r.Identity)
	}
}

func TestCachedTokenExpires(t *testing.T) {
	b := policytest.SecretBench(t, nil, tokenKinds()...)
	set := b.Set(t, policytest.JwtPolicy(nil))
	tok := policytest.SecretToken(t, map[string]any{"exp": policytest.Noon.Add(time.Minute).Unix()})
	policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok)), codes.OK)
	b.Clock.Advance(time.Minute + 29*time.Second) // within the leeway
	policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok)), codes.OK)
	b.Clock.Advance(time.Second)
	policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok)), codes.Unauthenticated)
}

func TestIdentityReachesTheBackend(t *testing.T) {
	b := policytest.SecretBench(t, func(i *transomv1.JwtIssuer) {
		i.ForwardClaims = []string{"email", "age", "admin", "org", "Big", "address.city", "missing"}
	}, tokenKinds()...)
	set := b.Set(t, policytest.JwtPolicy(nil))
	r := policytest.WithToken(policytest.SecretToken(t, map[string]any{
		"sub": "Zoë 100%", "roles": []string{"a,b", "c"}, "email": "zoë@x", "age": 41, "admin": true, "Big": 9007199254740993,
		"org": map[string]any{"id": 7}, "address": map[string]any{"city": " Rome\t"},
	}))
	r.Metadata.Add("authorization", "Bearer x")
	r.Metadata.Add("x-transom-principal", "root")
	r.Metadata.Add("x-transom-roles", "root")
	r.Metadata.Add("x-transom-claim-email", "root@x")
	r.Metadata.Add("x-transom-claim-missing", "forged")
	r.Metadata.Add("x-other", "kept")
	if err := policytest.LetIn(set, r); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"authorization", "Bearer x", "x-other", "kept",
		"x-transom-principal", "Zo%C3%AB 100%25",
		"x-transom-roles", "a%2Cb,c",
		"x-transom-claim-email", "zo%C3%AB@x",
		"x-transom-claim-age", "41",
		"x-transom-claim-admin", "true",
		"x-transom-claim-org", `{"id":7}`,
		"x-transom-claim-big", "9007199254740993",
		"x-transom-claim-address.city", "%20Rome%09",
	}
	if !slices.Equal(r.Metadata, want) {
		t.Errorf("metadata\n got %q\nwant %q", r.Metadata, want)
	}
}

// TestTokenCacheIsBounded fills the cache far beyond its bounds.
func TestTokenCacheIsBounded(t *testing.T) {
	c := newCache()
	c.limit = 1 << 20
	issuer := &Issuer{fixed: &keys.Set{}}
	for i := range 3 * tokenCacheSets {
		c.put(&Verified{token: strings.Repeat("x", i%97) + "." + time.Duration(i).String(), issuer: issuer, keys: issuer.fixed,
			until: policytest.Noon.Add(time.Hour), size: 1000}, policytest.Noon)
		if got := c.bytes.Load(); got > c.limit+1000 {
			t.Fatalf("after %d tokens %d bytes, want %d at most", i+1, got, c.limit)
		}
	}
	held := int64(0)
	for i := range c.slots {
		if v := c.slots[i].Load(); v != nil {
			held += v.size
		}
	}
	if held != c.bytes.Load() {
		t.Errorf("%d bytes are held, %d counted", held, c.bytes.Load())
	}
}

func BenchmarkCachedTokenAndRoles(b *testing.B) {
	bench := policytest.SecretBench(b, nil, tokenKinds()...)
	policy := policytest.JwtPolicy(nil)
	policy.Auth.Roles = []string{"admin"}
	set := bench.Set(b, policy)
	r := policytest.WithToken(policytest.SecretToken(b, nil))
	r.Metadata = make([]string, 0, 32)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		r.Metadata = r.Metadata[:0]
		if _, err := set.Admit(ctx, r); err != nil {
			b.Fatal(err)
		}
	}
}

// tokenKinds are auth by tokens alone.
func tokenKinds() []policy.Kind { return []policy.Kind{auth.Callers(Mechanism()), auth.Authorize()} }

// tokensOf is what a method demands of tokens that takes those of all issuers.
func tokensOf(b *policytest.AuthBench) *authenticator {
	all := Of(b.Generation)
	return &authenticator{accepted: all.list, issuers: all}
}

func BenchmarkColdRS256(b *testing.B) {
	k := keytest.TestKeys()
	bench := policytest.SecretBench(b, func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_PublicKey{PublicKey: keytest.PublicPEM(b, &k.RSA.PublicKey)}
	}, tokenKinds()...)
	raw := keytest.Token(b, jwt.SigningMethodRS256, k.RSA, nil, policytest.GoodClaims(nil))
	tokens := tokensOf(bench)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tokens.verify(context.Background(), raw); err != nil {
			b.Fatal(err)
		}
	}
}
