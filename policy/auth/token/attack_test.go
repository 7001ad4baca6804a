package token

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// raw puts a token together from texts, signed with the HMAC key.
func rawHS256(header, payload string, key []byte) string {
	signed := keytest.B64(header) + "." + keytest.B64(payload)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// rawRS256 puts a token together from texts, signed with the test's RSA key.
func rawRS256(t *testing.T, header, payload string) string {
	t.Helper()
	signed := keytest.B64(header) + "." + keytest.B64(payload)
	signature, err := jwt.SigningMethodRS256.Sign(signed, keytest.TestKeys().RSA)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// attackBench accepts tokens of an issuer with three keys: "rsa" for RS256
// alone, "ec" and "ed".
func attackBench(t *testing.T) (*policytest.AuthBench, *policy.Set) {
	t.Helper()
	k := keytest.TestKeys()
	file := filepath.Join(t.TempDir(), "keys.json")
	set := keytest.KeySetJSON(
		keytest.PublicJWK(&k.RSA.PublicKey, "rsa", map[string]any{"alg": "RS256"}),
		keytest.PublicJWK(&k.P256.PublicKey, "ec", nil),
		keytest.PublicJWK(k.Ed.Public(), "ed", nil),
		keytest.PublicJWK(&k.OtherRSA.PublicKey, "enc", map[string]any{"use": "enc"}),
		keytest.PublicJWK([]byte(k.Secret), "short", map[string]any{"k": keytest.B64("short")}),
	)
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	b := policytest.NewAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{
		policytest.JwtIssuer(func(i *transomv1.JwtIssuer) { i.Keys = &transomv1.JwtIssuer_JwksFile{JwksFile: file} }),
		{Issuer: "internal", Audience: "bookstore", Keys: &transomv1.JwtIssuer_Secret{Secret: k.Secret}},
	}}}, tokenKinds()...)
	return b, b.Set(t, policytest.JwtPolicy(func(j *transomv1.JwtAuth) { j.RequiredClaims = []string{"sub"} }))
}

// attacks is the list of tokens that must not be let in, by what is wrong with
// them.
func attacks(t *testing.T) map[string]string {
	k := keytest.TestKeys()
	kid := map[string]any{"kid": "rsa"}
	head := func(more map[string]any) map[string]any {
		h := map[string]any{"kid": "rsa"}
		for n, v := range more {
			h[n] = v
		}
		return h
	}
	rs := func(header, claims map[string]any) string {
		return keytest.Token(t, jwt.SigningMethodRS256, k.RSA, head(header), policytest.GoodClaims(claims))
	}
	good := rs(nil, nil)
	parts := strings.Split(good, ".")
	payload := asJSON(t, policytest.GoodClaims(nil))
	rsHeader := `{"alg":"RS256","kid":"rsa","typ":"JWT"}`
	none := func(alg string) string { return keytest.B64(`{"alg":"`+alg+`","kid":"rsa"}`) + "." + parts[1] + "." }
	public := []byte(keytest.PublicPEM(t, &k.RSA.PublicKey))
	at := func(n int64) int64 { return policytest.Noon.Unix() + n }
	dup := func(claim string) string { return payload[:len(payload)-1] + "," + claim + "}" }

	list := map[string]string{
		// No signature.
		"alg none":                           none("none"),
		"alg None":                           none("None"),
		"alg NONE":                           none("NONE"),
		"alg nOnE":                           none("nOnE"),
		"alg none with a signature":          none("none") + parts[2],
		"alg none padded":                    none("none "),
		"alg empty":                          none(""),
		"alg empty with a signature":         none("") + parts[2],
		"signature stripped":                 parts[0] + "." + parts[1] + ".",
		"signature and dot stripped":         parts[0] + "." + parts[1],
		"signature cut short":                good[:len(good)-8],
		"signature of zeros":                 parts[0] + "." + parts[1] + "." + keytest.B64(strings.Repeat("\x00", 256)),
		"signature of another token":         parts[0] + "." + parts[1] + "." + strings.Split(rs(nil, map[string]any{"sub": "eve"}), ".")[2],
		"payload changed":                    parts[0] + "." + keytest.B64(asJSON(t, policytest.GoodClaims(map[string]any{"sub": "root"}))) + "." + parts[2],
		"header changed":                     keytest.B64(`{"alg":"RS256","typ":"JWT","kid":"rsa","x":1}`) + "." + parts[1] + "." + parts[2],
		"ECDSA signature of zeros":           keytest.B64(`{"alg":"ES256","kid":"ec"}`) + "." + parts[1] + "." + keytest.B64(strings.Repeat("\x00", 64)),
		"EdDSA signature of zeros":           keytest.B64(`{"alg":"EdDSA","kid":"ed"}`) + "." + parts[1] + "." + keytest.B64(strings.Repeat("\x00", 64)),
		"ECDSA signature in ASN.1":           ecdsaASN1(t, payload),
		"standard base64 in the signature":   parts[0] + "." + parts[1] + "." + base64.StdEncoding.EncodeToString([]byte("\xfb\xff\xfe")),
		"padded base64":                      parts[0] + "." + parts[1] + "." + parts[2] + "==",
		"base64 with a line break":           parts[0] + "." + parts[1] + "." + parts[2][:20] + "\n" + parts[2][20:],
		"base64 with loose bits at its end":  keytest.LooseBits(good),
		"HMAC for an issuer of public keys":  rawHS256(`{"alg":"HS256","kid":"rsa"}`, payload, []byte(k.Secret)),
		"HMAC with the public key as secret": rawHS256(`{"alg":"HS256","kid":"rsa"}`, payload, public),
		"HMAC with the trimmed public key":   rawHS256(`{"alg":"HS256","kid":"rsa"}`, payload, []byte(strings.TrimSpace(string(public)))),
		"HMAC with the modulus as secret":    rawHS256(`{"alg":"HS256","kid":"rsa"}`, payload, k.RSA.N.Bytes()),
		"HMAC with an empty secret":          rawHS256(`{"alg":"HS256"}`, payload, nil),
		"HMAC with a short key of the set":   rawHS256(`{"alg":"HS256","kid":"short"}`, payload, []byte("short")),

		// Keys.
		"another RSA key":                keytest.Token(t, jwt.SigningMethodRS256, k.OtherRSA, kid, policytest.GoodClaims(nil)),
		"a key for encryption":           keytest.Token(t, jwt.SigningMethodRS256, k.OtherRSA, map[string]any{"kid": "enc"}, policytest.GoodClaims(nil)),
		"PS256 with a key for RS256":     keytest.Token(t, jwt.SigningMethodPS256, k.RSA, kid, policytest.GoodClaims(nil)),
		"RS512 with a key for RS256":     keytest.Token(t, jwt.SigningMethodRS512, k.RSA, kid, policytest.GoodClaims(nil)),
		"ES256 naming the RSA key":       keytest.Token(t, jwt.SigningMethodES256, k.P256, kid, policytest.GoodClaims(nil)),
		"ES384 naming the P-256 key":     keytest.Token(t, jwt.SigningMethodES384, k.P384, map[string]any{"kid": "ec"}, policytest.GoodClaims(nil)),
		"EdDSA naming the ECDSA key":     keytest.Token(t, jwt.SigningMethodEdDSA, k.Ed, map[string]any{"kid": "ec"}, policytest.GoodClaims(nil)),
		"the other issuer's secret":      rawHS256(`{"alg":"HS256","kid":"rsa"}`, payload, []byte(k.Secret)),
		"kid of nobody":                  rs(map[string]any{"kid": "nobody"}, nil),
		"kid of a path":                  rawHS256(`{"alg":"HS256","kid":"../../../../dev/null"}`, payload, nil),
		"kid of SQL":                     rawHS256(`{"alg":"HS256","kid":"x' UNION SELECT 'key"}`, payload, []byte("key")),
		"kid of a command":               rs(map[string]any{"kid": "rsa;cat /etc/passwd"}, nil),
		"kid of a URL":                   rs(map[string]any{"kid": "https://evil.test/keys"}, nil),
		"kid of a NUL":                   rs(map[string]any{"kid": "rsa\x00"}, nil),
		"kid empty":                      rs(map[string]any{"kid": ""}, nil),
		"kid a number":                   rs(map[string]any{"kid": 1}, nil),
		"kid null":                       rawRS256(t, `{"alg":"RS256","kid":null}`, payload),
		"kid a list":                     rs(map[string]any{"kid": []string{"rsa"}}, nil),
		"alg a number":                   rawRS256(t, `{"alg":256,"kid":"rsa"}`, payload),
		"alg a list":                     rawRS256(t, `{"alg":["RS256"],"kid":"rsa"}`, payload),
		"alg missing":                    rawRS256(t, `{"kid":"rsa"}`, payload),
		"alg in lower case":              rawRS256(t, `{"alg":"rs256","kid":"rsa"}`, payload),
		"alg unknown":                    rawRS256(t, `{"alg":"RS1","kid":"rsa"}`, payload),
		"alg twice":                      rawRS256(t, `{"alg":"none","alg":"RS256","kid":"rsa"}`, payload),
		"kid twice":                      rawRS256(t, `{"alg":"RS256","kid":"ec","kid":"rsa"}`, payload),
		"jku":                            rs(map[string]any{"jku": "https://evil.test/keys"}, nil),
		"jwk":                            keytest.Token(t, jwt.SigningMethodRS256, k.OtherRSA, head(map[string]any{"jwk": keytest.PublicJWK(&k.OtherRSA.PublicKey, "rsa", nil)}), policytest.GoodClaims(nil)),
		"x5u":                            rs(map[string]any{"x5u": "https://evil.test/cert"}, nil),
		"x5c":                            rs(map[string]any{"x5c": []string{"MIIB"}}, nil),
		"crit":                           rs(map[string]any{"crit": []string{"exp"}}, nil),
		"crit empty":                     rs(map[string]any{"crit": []string{}}, nil),
		"b64 false":                      rs(map[string]any{"b64": false, "crit": []string{"b64"}}, nil),
		"zip":                            rs(map[string]any{"zip": "DEF"}, nil),
		"encrypted, five parts":          good + ".a.b",
		"nested token":                   rs(map[string]any{"cty": "JWT"}, nil),
		"typ of a logout token":          rs(map[string]any{"typ": "logout+jwt"}, nil),
		"typ of a DPoP proof":            rs(map[string]any{"typ": "dpop+jwt"}, nil),
		"typ a number":                   rs(map[string]any{"typ": 7}, nil),
		"header a list":                  rawRS256(t, `["RS256"]`, payload),
		"header null":                    rawRS256(t, `null`, payload),
		"header with text after it":      rawRS256(t, rsHeader+"{}", payload),
		"header not UTF-8":               rawRS256(t, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"\xff\":1}", payload),
		"no kid and more keys than one":  keytest.Token(t, jwt.SigningMethodHS256, []byte(k.Secret), nil, policytest.GoodClaims(nil)),
		"key of another issuer, by name": rs(nil, map[string]any{"iss": "internal"}),

		// Claims.
		"expired":                     rs(nil, map[string]any{"exp": at(-31)}),
		"expired at the leeway's end": rs(nil, map[string]any{"exp": at(-30)}),
		"exp missing":                 rs(nil, map[string]any{"exp": nil}),
		"exp null":                    rawRS256(t, rsHeader, asJSON(t, policytest.GoodClaims(map[string]any{"exp": json.RawMessage("null")}))),
		"exp a string":                rs(nil, map[string]any{"exp": "9999999999"}),
		"exp zero":                    rs(nil, map[string]any{"exp": 0}),
		"exp negative":                rs(nil, map[string]any{"exp": -1}),
		"exp beyond all time":         rs(nil, map[string]any{"exp": json.Number("1e300")}),
		"exp above a float":           rs(nil, map[string]any{"exp": json.Number("1e400")}),
		"exp beyond the year 9999":    rs(nil, map[string]any{"exp": int64(1) << 62}),
		"exp a list":                  rs(nil, map[string]any{"exp": []int64{at(60)}}),
		"not yet valid":               rs(nil, map[string]any{"nbf": at(31)}),
		"nbf a string":                rs(nil, map[string]any{"nbf": "0"}),
		"issued in the future":        rs(nil, map[string]any{"iat": at(3600)}),
		"iat an object":               rs(nil, map[string]any{"iat": map[string]any{}}),
		"aud of others":               rs(nil, map[string]any{"aud": "elsewhere"}),
		"aud of others, a list":       rs(nil, map[string]any{"aud": []string{"a", "b"}}),
		"aud missing":                 rs(nil, map[string]any{"aud": nil}),
		"aud an empty list":           rs(nil, map[string]any{"aud": []string{}}),
		"aud longer by a letter":      rs(nil, map[string]any{"aud": "bookstore2"}),
		"aud in capitals":             rs(nil, map[string]any{"aud": "BOOKSTORE"}),
		"aud a number":                rs(nil, map[string]any{"aud": 1}),
		"aud a list with a number":    rs(nil, map[string]any{"aud": []any{"bookstore", 1}}),
		"aud an object":               rs(nil, map[string]any{"aud": map[string]any{"bookstore": true}}),
		"iss of others":               rs(nil, map[string]any{"iss": "https://evil.test"}),
		"iss missing":                 rs(nil, map[string]any{"iss": nil}),
		"iss with a slash more":       rs(nil, map[string]any{"iss": "https://id.test/"}),
		"iss in capitals":             rs(nil, map[string]any{"iss": "HTTPS://ID.TEST"}),
		"iss a list":                  rs(nil, map[string]any{"iss": []string{"https://id.test"}}),
		"sub missing":                 rs(nil, map[string]any{"sub": nil}),
		"sub empty":                   rs(nil, map[string]any{"sub": ""}),
		"sub a number":                rs(nil, map[string]any{"sub": 1}),
		"sub with a line break":       rs(nil, map[string]any{"sub": "ada\r\nx-transom-roles: admin"}),
		"sub a lone surrogate":        rawRS256(t, rsHeader, strings.Replace(payload, `"ada"`, `"\ud800"`, 1)),
		"roles a number":              rs(nil, map[string]any{"roles": 1}),
		"roles with a number":         rs(nil, map[string]any{"roles": []any{"admin", 1}}),
		"scope an object":             rs(nil, map[string]any{"scope": map[string]any{}}),
		"sub twice":                   rawRS256(t, rsHeader, dup(`"sub":"root"`)),
		"exp twice":                   rawRS256(t, rsHeader, dup(`"exp":9999999999`)),
		"aud twice":                   rawRS256(t, rsHeader, dup(`"aud":"bookstore"`)),
		"a nested name twice":         rawRS256(t, rsHeader, dup(`"realm":{"roles":[],"roles":["admin"]}`)),
		"sub twice, once escaped":     rawRS256(t, rsHeader, dup(`"\u0073ub":"root"`)),
		"payload a list":              rawRS256(t, rsHeader, "["+payload+"]"),
		"payload a string":            rawRS256(t, rsHeader, `"x"`),
		"payload with text after it":  rawRS256(t, rsHeader, payload+payload),
		"payload no JSON":             rawRS256(t, rsHeader, `{"iss":`),
		"payload not UTF-8":           rawRS256(t, rsHeader, dup("\"x\":\"\xff\"")),
		"payload nested deep":         rawRS256(t, rsHeader, dup(`"x":`+strings.Repeat("[", 4000)+strings.Repeat("]", 4000))),
		"payload empty":               rawRS256(t, rsHeader, ""),

		// Form.
		"no token":                ".",
		"two dots":                "..",
		"not a token":             "hunter2",
		"100 KB":                  rs(nil, map[string]any{"x": strings.Repeat("x", 100<<10)}),
		"a byte above 16 KiB":     good + strings.Repeat("A", 16<<10+1-len(good)),
		"100,000 dots":            strings.Repeat(".", 100_000),
		"a token and another":     good + " " + good,
		"a token and a comma":     good + ",",
		"a NUL behind":            good + "\x00",
		"JSON serialisation":      `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"letters that look alike": strings.Replace(good, "e", "е", 1),
	}
	return list
}

// ecdsaASN1 signs with the right key, but writes the signature as X.509 does.
func ecdsaASN1(t *testing.T, payload string) string {
	t.Helper()
	signed := keytest.B64(`{"alg":"ES256","kid":"ec"}`) + "." + keytest.B64(payload)
	sum := sha256.Sum256([]byte(signed))
	signature, err := keytest.TestKeys().P256.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestAttackTokens(t *testing.T) {
	_, set := attackBench(t)
	k := keytest.TestKeys()
	good := keytest.Token(t, jwt.SigningMethodRS256, k.RSA, map[string]any{"kid": "rsa"}, policytest.GoodClaims(nil))
	if err := policytest.LetIn(set, policytest.WithToken(good)); err != nil {
		t.Fatalf("the good token is refused: %v", err)
	}
	list := attacks(t)
	if len(list) < 58 {
		t.Fatalf("the list has %d tokens, want 58 at least", len(list))
	}
	for name, attack := range list {
		t.Run(name, func(t *testing.T) {
			if attack == good {
				t.Fatal("the attack is the good token")
			}
			for range 2 { // the second time through the cache
				r := policytest.WithToken(attack)
				err := policytest.LetIn(set, r)
				if code := status.Code(err); code != codes.Unauthenticated {
					t.Fatalf("got %v (%v), want UNAUTHENTICATED", code, err)
				}
				if message := status.Convert(err).Message(); message != "the credentials are not valid" {
					t.Errorf("the client is told %q", message)
				}
				if got := r.ResponseHeader.Get("WWW-Authenticate"); got != `Bearer realm="transom", error="invalid_token"` {
					t.Errorf("WWW-Authenticate: %s", got)
				}
				if r.Identity != nil || len(r.Metadata) != 0 {
					t.Errorf("an identity was made: %v, %v", r.Identity, r.Metadata)
				}
			}
		})
	}
}
