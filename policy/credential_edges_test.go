package policy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/golang-jwt/jwt/v5"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestSecretOfAnyBytes: Semantics 324: a secret may be any bytes, white space at its
// ends included.
func TestSecretOfAnyBytes(t *testing.T) {
	for name, secret := range map[string]string{
		"no UTF-8":    "\xff\x00" + strings.Repeat("\xa7", 30),
		"white space": "\n \x01" + strings.Repeat("s", 27) + " \n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
				t.Fatal(err)
			}
			b := secretBench(t, func(i *transomv1.JwtIssuer) { i.Keys = &transomv1.JwtIssuer_Secret{Secret: "file:" + file} })
			r := withToken(token(t, jwt.SigningMethodHS256, []byte(secret), nil, goodClaims(nil)))
			if err := letIn(b.set(t, jwtPolicy(nil)), r); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLargeClaims: integers of a token are forwarded as they are and compared exactly,
// also beyond 63 bits.
func TestLargeClaims(t *testing.T) {
	b := secretBench(t, func(i *transomv1.JwtIssuer) { i.ForwardClaims = []string{"n"} })
	for digits, allow := range map[string]string{
		"9007199254740993":      `claims.n == 9007199254740993 && claims.n != 9007199254740992`,
		"9223372036854775807":   `claims.n == 9223372036854775807`,
		"9223372036854775808":   `claims.n == 9223372036854775808u && claims.n != 9223372036854775809u`,
		"18446744073709551615":  `claims.n == 18446744073709551615u`,
		"18446744073709551616":  `claims.n == "18446744073709551616"`,
		"-9223372036854775809":  `claims.n == "-9223372036854775809"`,
		"123456789012345678901": `claims.n != "123456789012345678900"`,
	} {
		r := withToken(secretToken(t, map[string]any{"n": json.Number(digits)}))
		if err := letIn(b.set(t, &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Jwt{Jwt: &transomv1.JwtAuth{}}, Allow: allow}}), r); err != nil {
			t.Errorf("%s: %v", digits, err)
		}
		if got := r.Metadata.Get("x-transom-claim-n"); got != digits {
			t.Errorf("%s is forwarded as %s", digits, got)
		}
	}
}

// TestLoginByWebSocket: a login whose session or token has no header to stand in is
// refused before the upgrade.
func TestLoginByWebSocket(t *testing.T) {
	b := secretBench(t, nil)
	for name, test := range map[string]struct {
		login *transomv1.Login
		want  codes.Code
	}{
		"a session":             {&transomv1.Login{Grant: &transomv1.Login_Session{Session: &transomv1.SessionGrant{}}}, codes.FailedPrecondition},
		"a token in a header":   {tokenLogin(nil), codes.FailedPrecondition},
		"a token in the answer": {tokenLogin(func(g *transomv1.TokenGrant) { g.Field = "token" }), codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			set := mustCompile(t, b.Compiler, shopTarget("Login", loginPolicyOf(test.login)))
			r := newCall(nil)
			r.WebSocket = true
			_, err := set.Admit(t.Context(), r)
			wantCode(t, err, test.want)
		})
	}
}
