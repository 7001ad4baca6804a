package config

import (
	"net/url"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// minSecret is the shortest HMAC secret, in bytes (RFC 7518, 3.2).
const minSecret = 32

// algorithms are those of RFC 7518 and RFC 8037 that a token may be signed
// with. "none" is not one.
var algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func (c *checker) auth(a *transomv1.AuthConfig) {
	issuers := map[string]string{}
	for i, issuer := range a.GetJwt() {
		path := join("auth.jwt", i)
		if issuer.Issuer == "" {
			c.fail(join(path, "issuer"), "found none, expected the value of the tokens' iss claim")
		} else if other, ok := issuers[issuer.Issuer]; ok {
			c.fail(join(path, "issuer"), "found %q, which is the issuer of %s, too", issuer.Issuer, other)
		} else {
			issuers[issuer.Issuer] = path
		}
		c.issuerKeys(path, issuer)
		c.issuerAlgorithms(path, issuer)
		c.notNegative(join(path, "leeway"), issuer.Leeway)
		c.positive(join(path, "refresh"), issuer.Refresh)
	}
	c.session(a.GetSession())
}

// foundSecret says what was found where the value must not be told.
func foundSecret(value string) string {
	if value == "" {
		return "none"
	}
	return "another value"
}

func (c *checker) issuerKeys(path string, issuer *transomv1.JwtIssuer) {
	switch keys := issuer.Keys.(type) {
	case *transomv1.JwtIssuer_JwksUrl:
		if !hasScheme(keys.JwksUrl, "http", "https") {
			c.fail(join(path, "jwks_url"), `found %s, expected "https://host/path"`, foundSecret(keys.JwksUrl))
		}
	case *transomv1.JwtIssuer_JwksFile:
		c.regular(join(path, "jwks_file"), keys.JwksFile)
	case *transomv1.JwtIssuer_PublicKey:
		if !strings.Contains(keys.PublicKey, "-----BEGIN ") {
			c.fail(join(path, "public_key"), "found %s, expected a public key in PEM, or file: and its name", foundSecret(keys.PublicKey))
		}
	case *transomv1.JwtIssuer_Secret:
		// A reference that is left is to bytes that are no text, which policy reads.
		if n := len(keys.Secret); n < minSecret && !strings.HasPrefix(keys.Secret, "file:") {
			c.fail(join(path, "secret"), "found %d bytes, expected at least %d", n, minSecret)
		}
		if issuer.PrivateKey != "" {
			c.fail(join(path, "private_key"), "found beside secret, expected with public_key, jwks_url or jwks_file only")
		}
	default:
		c.fail(path, "found no key, expected one of jwks_url, jwks_file, public_key, secret")
	}
	if issuer.PrivateKey != "" && !strings.Contains(issuer.PrivateKey, "-----BEGIN ") {
		c.fail(join(path, "private_key"), "found another value, expected a private key in PEM, or file: and its name")
	}
}

// issuerAlgorithms keeps HMAC and public keys apart: a public key that is taken
// for an HMAC secret lets anybody sign.
func (c *checker) issuerAlgorithms(path string, issuer *transomv1.JwtIssuer) {
	_, hmac := issuer.Keys.(*transomv1.JwtIssuer_Secret)
	for i, name := range issuer.Algorithms {
		at := join(join(path, "algorithms"), i)
		switch {
		case !slices.Contains(algorithms, name):
			c.fail(at, "found %q, expected one of %s", name, strings.Join(algorithms, ", "))
		case issuer.Keys != nil && strings.HasPrefix(name, "HS") != hmac:
			c.fail(at, "found %s, which does not fit the kind of key; expected HS256, HS384 or HS512 for a secret, and the others for public keys", name)
		}
	}
}

func (c *checker) session(s *transomv1.SessionConfig) {
	if s == nil {
		return
	}
	c.positive("auth.session.ttl", s.Ttl)
	c.positive("auth.session.max_ttl", s.MaxTtl)
	if s.MaxTtl.AsDuration() > 0 && s.Ttl.AsDuration() > s.MaxTtl.AsDuration() {
		c.fail("auth.session.ttl", "found %s, expected at most max_ttl, which is %s", span.Text(s.Ttl.AsDuration()), span.Text(s.MaxTtl.AsDuration()))
	}
	if strings.ContainsAny(s.Cookie, " \t\r\n()<>@,;:\\\"/[]?={}") {
		c.fail("auth.session.cookie", "found %q, expected the name of a cookie", s.Cookie)
	}
	if s.Insecure && (strings.HasPrefix(s.Cookie, "__Host-") || strings.HasPrefix(s.Cookie, "__Secure-")) {
		c.fail("auth.session.insecure", "found with the cookie %q, which browsers take over TLS only; expected another name", s.Cookie)
	}
	for i, origin := range s.TrustedOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			c.fail(join("auth.session.trusted_origins", i), "found %q, expected an origin such as %q", origin, "https://example.com")
		}
	}
}
