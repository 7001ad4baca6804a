package policytest

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

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Noon is when most tests of tokens and sessions happen: today, for parts with
// clocks of their own take part, as Redis.
var Noon = time.Now().UTC().Truncate(time.Second)

// TestClock is a clock that stands still until it is moved.
type TestClock struct {
	mu sync.Mutex
	At time.Time
}

// Now is the time of the clock.
func (c *TestClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.At
}

// Advance moves the clock.
func (c *TestClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.At = c.At.Add(d)
}

// Keyring are keys of all kinds.
type Keyring struct {
	RSA, OtherRSA *rsa.PrivateKey
	P256, P384    *ecdsa.PrivateKey
	Ed            ed25519.PrivateKey
	Secret        string
}

// TestKeys are made once: RSA keys take long.
var TestKeys = sync.OnceValue(func() (k Keyring) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	k.RSA, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.OtherRSA, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.P256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.P384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	_, k.Ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	k.Secret = "0123456789abcdef0123456789abcdef"
	return k
})

// PublicPEM writes a public key as a PEM block.
func PublicPEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// PrivatePEM writes a private key as a PEM block.
func PrivatePEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// PublicJWK writes a public key as a JSON Web Key; more is laid over it.
func PublicJWK(key any, kid string, more map[string]any) map[string]any {
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

// KeySetJSON is a JSON Web Key Set.
func KeySetJSON(keys ...map[string]any) []byte {
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return data
}

// Token signs claims; header is laid over the usual one, nil values take away.
func Token(t testing.TB, method jwt.SigningMethod, key any, header, claims map[string]any) string {
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

// GoodClaims are accepted by the issuer "https://id.test" at noon; more is laid
// over them, nil values take away.
func GoodClaims(more map[string]any) map[string]any {
	c := map[string]any{
		"iss": "https://id.test", "aud": "bookstore", "sub": "ada",
		"exp": Noon.Add(time.Hour).Unix(), "nbf": Noon.Add(-time.Hour).Unix(), "iat": Noon.Add(-time.Hour).Unix(),
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

// AuthBench is a compiler with its surroundings.
type AuthBench struct {
	*policy.Compiler
	Clock      *TestClock
	State      *policy.State
	Generation *policy.Generation
}

// NewAuthBench compiles a configuration that must be good.
func NewAuthBench(t testing.TB, config *transomv1.Config, kinds ...policy.Kind) *AuthBench {
	t.Helper()
	clock := &TestClock{At: Noon}
	state := policy.NewState(policy.StateOptions{Log: slog.New(slog.DiscardHandler), Now: clock.Now})
	t.Cleanup(func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &AuthBench{Clock: clock, State: state}
	c, problems := policy.New(append(slices.Clone(kinds), GenerationOf(&b.Generation)), policy.Environment{Config: config, State: state, Log: slog.New(slog.DiscardHandler), Directory: t.TempDir()})
	t.Cleanup(c.Close)
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	b.Compiler = c
	return b
}

// Set compiles one policy that must be good.
func (b *AuthBench) Set(t testing.TB, p *transomv1.Policy) *policy.Set {
	t.Helper()
	return MustCompile(t, b.Compiler, policy.Target{RPC: "test.v1.Service/Method", Layers: []policy.Layer{{Policy: p, Where: "test.proto:1:1"}}})
}

// MustCompile compiles a target that must be good.
func MustCompile(t testing.TB, c *policy.Compiler, target policy.Target) *policy.Set {
	t.Helper()
	set, problems := c.Compile(target)
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	return set
}

// NewCall is a request as an edge makes it.
func NewCall(edit func(*policy.Request)) *policy.Request {
	r := &policy.Request{
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

// WithToken is a call with a token in its header.
func WithToken(token string) *policy.Request {
	return NewCall(func(r *policy.Request) { r.HTTP.Header.Set("Authorization", "Bearer "+token) })
}

// LetIn runs a call through a set and ends it.
func LetIn(set *policy.Set, r *policy.Request) error {
	_, err := set.Admit(context.Background(), r)
	set.Done(r, &policy.Outcome{})
	return err
}

// JwtIssuer is the issuer of GoodClaims, edited.
func JwtIssuer(edit func(*transomv1.JwtIssuer)) *transomv1.JwtIssuer {
	i := &transomv1.JwtIssuer{Issuer: "https://id.test", Audience: "bookstore"}
	edit(i)
	return i
}

// JwtPolicy demands a token; edit may be nil.
func JwtPolicy(edit func(*transomv1.JwtAuth)) *transomv1.Policy {
	j := &transomv1.JwtAuth{}
	if edit != nil {
		edit(j)
	}
	return &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Jwt{Jwt: j}}}
}
