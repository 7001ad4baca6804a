package policytest

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TokenConfig has an issuer that login issues from, and one that is somebody
// else's.
func TokenConfig(t testing.TB, stores *transomv1.Stores) *transomv1.Config {
	t.Helper()
	return &transomv1.Config{Stores: stores, Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{
		{Issuer: "https://id.test", Audience: "bookstore", Keys: &transomv1.JwtIssuer_Secret{Secret: keytest.TestKeys().Secret}},
		{Issuer: "https://other.test", Keys: &transomv1.JwtIssuer_PublicKey{PublicKey: keytest.PublicPEM(t, keytest.TestKeys().Ed.Public())}},
	}}}
}

// TokenLogin grants a token; edit may be nil.
func TokenLogin(edit func(*transomv1.TokenGrant)) *transomv1.Login {
	g := &transomv1.TokenGrant{Issuer: "https://id.test"}
	if edit != nil {
		edit(g)
	}
	return &transomv1.Login{Grant: &transomv1.Login_Token{Token: g}}
}

// Issued finds the token that a login gave out.
func Issued(t testing.TB, r *policy.Request, reply []byte) string {
	t.Helper()
	m := MessageOf(t, "LoginReply", reply)
	if token := m.Get(m.Descriptor().Fields().ByName("token")).String(); token != "" {
		return token
	}
	token, ok := strings.CutPrefix(r.ResponseHeader.Get("Authorization"), "Bearer ")
	if !ok {
		t.Fatalf("no token: %v, %v", r.ResponseHeader, m)
	}
	return token
}

// SecretBench accepts tokens of one issuer with a secret.
func SecretBench(t testing.TB, edit func(*transomv1.JwtIssuer), kinds ...policy.Kind) *AuthBench {
	t.Helper()
	return NewAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{JwtIssuer(func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_Secret{Secret: keytest.TestKeys().Secret}
		if edit != nil {
			edit(i)
		}
	})}}}, kinds...)
}

// SecretToken is a token that SecretBench accepts; claims are laid over GoodClaims.
func SecretToken(t testing.TB, claims map[string]any) string {
	t.Helper()
	return keytest.Token(t, jwt.SigningMethodHS256, []byte(keytest.TestKeys().Secret), nil, GoodClaims(claims))
}

// WantCode compares the code of an error.
func WantCode(t testing.TB, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}
