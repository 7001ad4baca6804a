package policy

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// noon is when most tests of tokens and sessions happen: today, for parts with
// clocks of their own take part, as Redis.
var noon = time.Now().UTC().Truncate(time.Second)

// testClock is a clock that stands still until it is moved.
type testClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// keyring are keys of all kinds.
type keyring struct {
	rsa, otherRSA *rsa.PrivateKey
	p256, p384    *ecdsa.PrivateKey
	ed            ed25519.PrivateKey
	secret        string
}

// testKeys are made once: RSA keys take long.
var testKeys = sync.OnceValue(func() (k keyring) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.otherRSA, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	k.secret = "0123456789abcdef0123456789abcdef"
	return k
})

func publicPEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func privatePEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// publicJWK writes a public key as a JSON Web Key; more is laid over it.
func publicJWK(key any, kid string, more map[string]any) map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	j := map[string]any{"kid": kid, "use": "sig"}
	switch k := key.(type) {
	case *rsa.PublicKey:
		j["kty"], j["n"], j["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		raw, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(raw) / 2
		j["kty"], j["crv"], j["x"], j["y"] = "EC", k.Params().Name, b64(raw[1:1+half]), b64(raw[1+half:])
	case ed25519.PublicKey:
		j["kty"], j["crv"], j["x"] = "OKP", "Ed25519", b64(k)
	case []byte:
		j["kty"], j["k"] = "oct", b64(k)
	}
	for name, value := range more {
		j[name] = value
	}
	return j
}

func keySetJSON(keys ...map[string]any) []byte {
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return data
}

// token signs claims; header is laid over the usual one, nil values take away.
func token(t testing.TB, method jwt.SigningMethod, key any, header, claims map[string]any) string {
	t.Helper()
	tok := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	for name, value := range header {
		if value == nil {
			delete(tok.Header, name)
		} else {
			tok.Header[name] = value
		}
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// goodClaims are accepted by the issuer "https://id.test" at noon; more is laid
// over them, nil values take away.
func goodClaims(more map[string]any) map[string]any {
	c := map[string]any{
		"iss": "https://id.test", "aud": "bookstore", "sub": "ada",
		"exp": noon.Add(time.Hour).Unix(), "nbf": noon.Add(-time.Hour).Unix(), "iat": noon.Add(-time.Hour).Unix(),
		"roles": []string{"reader", "admin"}, "scope": "books.read books.write",
	}
	for name, value := range more {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

// bench is a compiler with its surroundings.
type authBench struct {
	*Compiler
	clock      *testClock
	state      *State
	generation *Generation
}

// newAuthBench compiles a configuration that must be good.
func newAuthBench(t testing.TB, config *transomv1.Config, kinds ...Kind) *authBench {
	t.Helper()
	clock := &testClock{at: noon}
	state := NewState(StateOptions{Log: slog.New(slog.DiscardHandler), Now: clock.now})
	t.Cleanup(func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &authBench{clock: clock, state: state}
	c, problems := New(append(slices.Clone(kinds), generationOf(&b.generation)), Environment{Config: config, State: state, Log: slog.New(slog.DiscardHandler), Directory: t.TempDir()})
	t.Cleanup(c.Close)
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	b.Compiler = c
	return b
}

// set compiles one policy that must be good.
func (b *authBench) set(t testing.TB, p *transomv1.Policy) *Set {
	t.Helper()
	return mustCompile(t, b.Compiler, Target{RPC: "test.v1.Service/Method", Layers: []Layer{{Policy: p, Where: "test.proto:1:1"}}})
}

func mustCompile(t testing.TB, c *Compiler, target Target) *Set {
	t.Helper()
	set, problems := c.Compile(target)
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	return set
}

// newCall is a request as an edge makes it.
func newCall(edit func(*Request)) *Request {
	r := &Request{
		HTTP:           httptest.NewRequest(http.MethodPost, "https://books.test/v1/books", nil),
		RPC:            "test.v1.Service/Method",
		ResponseHeader: http.Header{},
		Protocol:       "rest",
	}
	if edit != nil {
		edit(r)
	}
	return r
}

func withToken(token string) *Request {
	return newCall(func(r *Request) { r.HTTP.Header.Set("Authorization", "Bearer "+token) })
}

// letIn runs a call through a set and ends it.
func letIn(set *Set, r *Request) error {
	_, err := set.Admit(context.Background(), r)
	set.Done(r, &Outcome{})
	return err
}

func jwtIssuer(edit func(*transomv1.JwtIssuer)) *transomv1.JwtIssuer {
	i := &transomv1.JwtIssuer{Issuer: "https://id.test", Audience: "bookstore"}
	edit(i)
	return i
}

func jwtPolicy(edit func(*transomv1.JwtAuth)) *transomv1.Policy {
	j := &transomv1.JwtAuth{}
	if edit != nil {
		edit(j)
	}
	return &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Jwt{Jwt: j}}}
}
