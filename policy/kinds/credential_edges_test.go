package kinds_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy/kinds"
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
			b := policytest.SecretBench(t, func(i *transomv1.JwtIssuer) { i.Keys = &transomv1.JwtIssuer_Secret{Secret: "file:" + file} }, kinds.All()...)
			r := policytest.WithToken(keytest.Token(t, jwt.SigningMethodHS256, []byte(secret), nil, policytest.GoodClaims(nil)))
			if err := policytest.LetIn(b.Set(t, policytest.JwtPolicy(nil)), r); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLargeClaims: integers of a token are forwarded as they are and compared exactly,
// also beyond 63 bits.
func TestLargeClaims(t *testing.T) {
	b := policytest.SecretBench(t, func(i *transomv1.JwtIssuer) { i.ForwardClaims = []string{"n"} }, kinds.All()...)
	for digits, allow := range map[string]string{
		"9007199254740993":      `claims.n == 9007199254740993 && claims.n != 9007199254740992`,
		"9223372036854775807":   `claims.n == 9223372036854775807`,
		"9223372036854775808":   `claims.n == 9223372036854775808u && claims.n != 9223372036854775809u`,
		"18446744073709551615":  `claims.n == 18446744073709551615u`,
		"18446744073709551616":  `claims.n == "18446744073709551616"`,
		"-9223372036854775809":  `claims.n == "-9223372036854775809"`,
		"123456789012345678901": `claims.n != "123456789012345678900"`,
	} {
		r := policytest.WithToken(policytest.SecretToken(t, map[string]any{"n": json.Number(digits)}))
		if err := policytest.LetIn(b.Set(t, &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Jwt{Jwt: &transomv1.JwtAuth{}}, Allow: allow}}), r); err != nil {
			t.Errorf("%s: %v", digits, err)
		}
		if got := r.Metadata.Get("x-transom-claim-n"); got != digits {
			t.Errorf("%s is forwarded as %s", digits, got)
		}
	}
}

// TestNumbersOfClaims: what a number says decides, not how it is written: to
// expressions, in what is forwarded, in headers and in keys of limits.
func TestNumbersOfClaims(t *testing.T) {
	b := policytest.SecretBench(t, func(i *transomv1.JwtIssuer) { i.ForwardClaims = []string{"n", "deep"} }, kinds.All()...)
	for _, test := range []struct{ written, allow, want string }{
		{"1e6", `claims.n == 1000000 && type(claims.n) == int`, "1000000"},
		{"1.0", `type(claims.n) == int`, "1"},
		{"-0.0", `claims.n == 0`, "0"},
		{"0e99999999999999999999", `claims.n == 0`, "0"},
		{"0.000e-7", `claims.n == 0`, "0"},
		{"1.5e9", `claims.n == 1500000000`, "1500000000"},
		{"150e-1", `claims.n == 15`, "15"},
		{"0.0012e4", `claims.n == 12`, "12"},
		{"100e-3", `claims.n == 0.1`, "0.1"},
		{"1.5", `claims.n == 1.5`, "1.5"},
		{"1e-7", `claims.n == 0.0000001`, "0.0000001"},
		{"-9.223372036854775808E+18", `claims.n == -9223372036854775808`, "-9223372036854775808"},
		{"9.223372036854775808e18", `claims.n == 9223372036854775808u`, "9223372036854775808"},
		{"1.8446744073709551615e19", `claims.n == 18446744073709551615u`, "18446744073709551615"},
		{"1e20", `claims.n == "100000000000000000000"`, "100000000000000000000"},
		{"123456789012345678901.0", `claims.n == "123456789012345678901"`, "123456789012345678901"},
		{"1e400", `claims.n == "1e400"`, "1e400"},
		{"-1e400", `claims.n == "-1e400"`, "-1e400"},
		{"1e-400", `claims.n == 0`, "0"},
		{"1e99999999999999999999", `claims.n == "1e99999999999999999999"`, "1e99999999999999999999"},
	} {
		t.Run(test.written, func(t *testing.T) {
			n := json.Number(test.written)
			r := policytest.WithToken(policytest.SecretToken(t, map[string]any{"n": n, "deep": map[string]any{"n": []any{n}}}))
			p := policytest.JwtPolicy(nil)
			p.Auth.Allow = test.allow
			p.Headers = &transomv1.Headers{Response: &transomv1.HeaderTransform{Set: map[string]string{"x-n": "${claim.n} ${claim.deep.n}"}}}
			set := b.Set(t, p)
			if err := policytest.LetIn(set, r); err != nil {
				t.Error(err)
			}
			if got := r.Metadata.Get("x-transom-claim-n"); got != test.want {
				t.Errorf("it is forwarded as %s, want %s", got, test.want)
			}
			if test.want != "0.0000001" {
				if got, want := r.Metadata.Get("x-transom-claim-deep"), `{"n":[`+test.want+`]}`; got != want {
					t.Errorf("within an object it is forwarded as %s, want %s", got, want)
				}
			}
			header := http.Header{}
			set.ResponseHeader(r, header)
			if got := strings.Fields(header.Get("X-N"))[0]; got != test.want {
				t.Errorf("a header has %s, want %s", got, test.want)
			}
		})
	}
}

// TestDatesOfTokens: a date may be written with an exponent or a fraction, and is
// refused where no calendar has it.
func TestDatesOfTokens(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	set := b.Set(t, policytest.JwtPolicy(nil))
	exponent := func(at time.Time) json.Number {
		return json.Number(strconv.FormatFloat(float64(at.Unix()), 'e', -1, 64))
	}
	later, earlier := policytest.Noon.Add(time.Hour), policytest.Noon.Add(-time.Hour)
	for _, test := range []struct {
		claim string
		value json.Number
		want  codes.Code
	}{
		{"exp", exponent(later), codes.OK},
		{"exp", exponent(earlier), codes.Unauthenticated},
		{"exp", "1e9", codes.Unauthenticated},
		{"exp", "1.5e9", codes.Unauthenticated},
		{"exp", "253402300799", codes.OK},
		{"exp", "2.53402300799e11", codes.OK},
		{"exp", "253402300800", codes.Unauthenticated},
		{"exp", "9223372036854775807", codes.Unauthenticated},
		{"exp", "9223372036854775808", codes.Unauthenticated},
		{"exp", "18446744073709551616", codes.Unauthenticated},
		{"exp", "1e308", codes.Unauthenticated},
		{"exp", "1e400", codes.Unauthenticated},
		{"exp", "-1", codes.Unauthenticated},
		{"exp", "-1e400", codes.Unauthenticated},
		{"exp", "0", codes.Unauthenticated},
		{"iat", exponent(earlier), codes.OK},
		{"iat", json.Number(strconv.FormatInt(earlier.Unix(), 10) + ".75"), codes.OK},
		{"iat", exponent(later), codes.Unauthenticated},
		{"iat", "1e9", codes.OK},
		{"iat", "1e400", codes.Unauthenticated},
		{"iat", "-1", codes.Unauthenticated},
		{"nbf", "1.5e9", codes.OK},
		{"nbf", exponent(later), codes.Unauthenticated},
		{"nbf", "9223372036854775808", codes.Unauthenticated},
		{"nbf", "1e99999", codes.Unauthenticated},
	} {
		if got := status.Code(policytest.LetIn(set, policytest.WithToken(policytest.SecretToken(t, map[string]any{test.claim: test.value})))); got != test.want {
			t.Errorf("%s %s: %v, want %v", test.claim, test.value, got, test.want)
		}
	}
}

// TestLoginByWebSocket: a login whose session or token has no header to stand in is
// refused before the upgrade.
func TestLoginByWebSocket(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	for name, test := range map[string]struct {
		login *transomv1.Login
		want  codes.Code
	}{
		"a session":             {&transomv1.Login{Grant: &transomv1.Login_Session{Session: &transomv1.SessionGrant{}}}, codes.FailedPrecondition},
		"a token in a header":   {policytest.TokenLogin(nil), codes.FailedPrecondition},
		"a token in the answer": {policytest.TokenLogin(func(g *transomv1.TokenGrant) { g.Field = "token" }), codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			set := policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Login", policytest.LoginPolicyOf(test.login)))
			r := policytest.NewCall(nil)
			r.WebSocket = true
			_, err := set.Admit(t.Context(), r)
			policytest.WantCode(t, err, test.want)
		})
	}
}
