package policy

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

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestEveryAlgorithmIsVerified(t *testing.T) {
	k := testKeys()
	for _, test := range []struct {
		method  jwt.SigningMethod
		private any
		public  crypto.PublicKey
	}{
		{jwt.SigningMethodRS256, k.rsa, &k.rsa.PublicKey},
		{jwt.SigningMethodRS384, k.rsa, &k.rsa.PublicKey},
		{jwt.SigningMethodRS512, k.rsa, &k.rsa.PublicKey},
		{jwt.SigningMethodPS256, k.rsa, &k.rsa.PublicKey},
		{jwt.SigningMethodPS384, k.rsa, &k.rsa.PublicKey},
		{jwt.SigningMethodPS512, k.rsa, &k.rsa.PublicKey},
		{jwt.SigningMethodES256, k.p256, &k.p256.PublicKey},
		{jwt.SigningMethodES384, k.p384, &k.p384.PublicKey},
		{jwt.SigningMethodEdDSA, k.ed, k.ed.Public()},
		{jwt.SigningMethodHS256, []byte(k.secret), nil},
		{jwt.SigningMethodHS384, []byte(k.secret), nil},
		{jwt.SigningMethodHS512, []byte(k.secret), nil},
	} {
		t.Run(test.method.Alg(), func(t *testing.T) {
			b := secretBench(t, func(i *transomv1.JwtIssuer) {
				if test.public != nil {
					i.Keys = &transomv1.JwtIssuer_PublicKey{PublicKey: publicPEM(t, test.public)}
				}
			}, tokenKinds()...)
			r := withToken(token(t, test.method, test.private, map[string]any{"kid": "whatever"}, goodClaims(nil)))
			if err := letIn(b.set(t, jwtPolicy(nil)), r); err != nil {
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
	b := secretBench(t, nil, tokenKinds()...)
	good, bad := secretToken(t, nil), "x.y.z"
	plain := b.set(t, jwtPolicy(nil))
	wide := b.set(t, jwtPolicy(func(j *transomv1.JwtAuth) { j.AllowQuery, j.Cookie = true, "token" }))
	if got := plain.QueryParameters(); len(got) != 0 {
		t.Errorf("query parameters %q, want none", got)
	}
	if got := wide.QueryParameters(); !slices.Equal(got, []string{"access_token"}) {
		t.Errorf("query parameters %q", got)
	}
	header := func(name, value string) func(*Request) {
		return func(r *Request) { r.HTTP.Header.Add(name, value) }
	}
	query := func(q string) func(*Request) { return func(r *Request) { r.HTTP.URL.RawQuery = q } }
	socket := func(protocols ...string) func(*Request) {
		return func(r *Request) {
			r.WebSocket, r.HTTP.Method = true, http.MethodGet
			r.HTTP.Header["Sec-Websocket-Protocol"] = protocols
		}
	}
	both := func(edits ...func(*Request)) func(*Request) {
		return func(r *Request) {
			for _, edit := range edits {
				edit(r)
			}
		}
	}
	for _, test := range []struct {
		name string
		set  *Set
		edit func(*Request)
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
			r := newCall(test.edit)
			err := letIn(test.set, r)
			wantCode(t, err, test.want)
			challenge := r.ResponseHeader.Get("WWW-Authenticate")
			if (status.Code(err) == codes.Unauthenticated) != (challenge != "") {
				t.Errorf("WWW-Authenticate is %q beside %v", challenge, err)
			}
			if err == errNoCredentials && strings.Contains(challenge, "error") {
				t.Errorf("nothing was sent, yet the challenge is %q", challenge)
			}
		})
	}
}

func TestWhatAMethodDemandsOfTokens(t *testing.T) {
	b := newAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{
		{Issuer: "a", Audience: "books", Keys: &transomv1.JwtIssuer_Secret{Secret: testKeys().secret}},
		{Issuer: "b", Keys: &transomv1.JwtIssuer_Secret{Secret: strings.Repeat("b", 32)}, PrincipalClaim: "email", RolesClaim: "realm_access.roles"},
	}}}, tokenKinds()...)
	a := func(more map[string]any) string {
		claims := goodClaims(map[string]any{"iss": "a", "aud": "books"})
		for n, v := range more {
			claims[n] = v
		}
		return token(t, jwt.SigningMethodHS256, []byte(testKeys().secret), nil, claims)
	}
	bb := token(t, jwt.SigningMethodHS256, []byte(strings.Repeat("b", 32)), nil,
		goodClaims(map[string]any{"iss": "b", "aud": nil, "email": "ada@id.test", "realm_access": map[string]any{"roles": []string{"x", "y"}}}))
	for _, test := range []struct {
		name   string
		policy *transomv1.Policy
		token  string
		want   codes.Code
	}{
		{"any issuer, a", jwtPolicy(nil), a(nil), codes.OK},
		{"any issuer, b", jwtPolicy(nil), bb, codes.OK},
		{"a alone", jwtPolicy(func(j *transomv1.JwtAuth) { j.Issuers = []string{"a"} }), a(nil), codes.OK},
		{"a alone, asked with b", jwtPolicy(func(j *transomv1.JwtAuth) { j.Issuers = []string{"a"} }), bb, codes.Unauthenticated},
		{"an audience in place of the issuer's", jwtPolicy(func(j *transomv1.JwtAuth) { j.Audiences = []string{"other"} }), a(nil), codes.Unauthenticated},
		{"one of several audiences", jwtPolicy(func(j *transomv1.JwtAuth) { j.Audiences = []string{"other", "x"} }),
			a(map[string]any{"aud": []string{"y", "x"}}), codes.OK},
		{"a claim that is there", jwtPolicy(func(j *transomv1.JwtAuth) { j.RequiredClaims = []string{"scope"} }), a(nil), codes.OK},
		{"a nested claim", jwtPolicy(func(j *transomv1.JwtAuth) { j.RequiredClaims = []string{"org.id"} }),
			a(map[string]any{"org": map[string]any{"id": 7}}), codes.OK},
		{"a claim that is missing", jwtPolicy(func(j *transomv1.JwtAuth) { j.RequiredClaims = []string{"org.id"} }), a(nil), codes.Unauthenticated},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := b.set(t, test.policy)
			for range 2 { // the second time from the cache
				wantCode(t, letIn(set, withToken(test.token)), test.want)
			}
		})
	}
	r := withToken(bb)
	if err := letIn(b.set(t, jwtPolicy(nil)), r); err != nil {
		t.Fatal(err)
	}
	if r.Identity.Principal != "ada@id.test" || !slices.Equal(r.Identity.Roles, []string{"x", "y"}) {
		t.Errorf("claims by path: %+v", r.Identity)
	}
}

func TestCachedTokenExpires(t *testing.T) {
	b := secretBench(t, nil, tokenKinds()...)
	set := b.set(t, jwtPolicy(nil))
	tok := secretToken(t, map[string]any{"exp": noon.Add(time.Minute).Unix()})
	wantCode(t, letIn(set, withToken(tok)), codes.OK)
	b.clock.advance(time.Minute + 29*time.Second) // within the leeway
	wantCode(t, letIn(set, withToken(tok)), codes.OK)
	b.clock.advance(time.Second)
	wantCode(t, letIn(set, withToken(tok)), codes.Unauthenticated)
}

func TestIdentityReachesTheBackend(t *testing.T) {
	b := secretBench(t, func(i *transomv1.JwtIssuer) {
		i.ForwardClaims = []string{"email", "age", "admin", "org", "Big", "address.city", "missing"}
	}, tokenKinds()...)
	set := b.set(t, jwtPolicy(nil))
	r := withToken(secretToken(t, map[string]any{
		"sub": "Zoë 100%", "roles": []string{"a,b", "c"}, "email": "zoë@x", "age": 41, "admin": true, "Big": 9007199254740993,
		"org": map[string]any{"id": 7}, "address": map[string]any{"city": " Rome\t"},
	}))
	r.Metadata.Add("authorization", "Bearer x")
	r.Metadata.Add("x-transom-principal", "root")
	r.Metadata.Add("x-transom-roles", "root")
	r.Metadata.Add("x-transom-claim-email", "root@x")
	r.Metadata.Add("x-transom-claim-missing", "forged")
	r.Metadata.Add("x-other", "kept")
	if err := letIn(set, r); err != nil {
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
	c := newTokenCache()
	c.limit = 1 << 20
	issuer := &tokenIssuer{fixed: &keySet{}}
	for i := range 3 * tokenCacheSets {
		c.put(&verified{token: strings.Repeat("x", i%97) + "." + time.Duration(i).String(), issuer: issuer, keys: issuer.fixed,
			until: noon.Add(time.Hour), size: 1000}, noon)
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
	bench := secretBench(b, nil, tokenKinds()...)
	policy := jwtPolicy(nil)
	policy.Auth.Roles = []string{"admin"}
	set := bench.set(b, policy)
	r := withToken(secretToken(b, nil))
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
func tokenKinds() []Kind { return []Kind{callersKind(tokenMechanism()), authorizeKind()} }

// tokensOf is what a method demands of tokens that takes those of all issuers.
func tokensOf(b *authBench) *tokenAuth {
	all := issuersOf(b.generation)
	return &tokenAuth{accepted: all.list, issuers: all}
}

func BenchmarkColdRS256(b *testing.B) {
	k := testKeys()
	bench := secretBench(b, func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_PublicKey{PublicKey: publicPEM(b, &k.rsa.PublicKey)}
	}, tokenKinds()...)
	raw := token(b, jwt.SigningMethodRS256, k.rsa, nil, goodClaims(nil))
	tokens := tokensOf(bench)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tokens.verify(context.Background(), raw); err != nil {
			b.Fatal(err)
		}
	}
}
