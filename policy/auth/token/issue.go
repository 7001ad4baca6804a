package token

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenSigner signs the tokens that login issues.
type tokenSigner struct {
	method jwt.SigningMethod
	key    any
	keyID  string
}

// CanSign reports whether the issuer has a key to sign tokens with.
func (i *Issuer) CanSign() bool { return i.signs != nil }

// WillIssue notes that a login issues this issuer's tokens, for so long: such tokens
// can be logged out.
func (i *Issuer) WillIssue(ttl time.Duration) {
	i.issues, i.longest = true, max(i.longest, ttl)
}

// Issue signs a token for a caller; at is what moment gave.
func (i *Issuer) Issue(at time.Time, ttl time.Duration, principal string, roles []string, more map[string]any) (string, error) {
	now := i.now()
	claims := jwt.MapClaims{}
	maps.Copy(claims, more)
	claims["iss"], claims["iat"], claims["nbf"], claims["exp"] = i.Name, now.Unix(), now.Unix(), now.Add(ttl).Unix()
	claims["jti"] = newTokenID(at)
	if i.audience != "" {
		claims["aud"] = i.audience
	}
	claims["sub"] = principal
	setClaim(claims, i.principalClaim, principal)
	if len(roles) > 0 {
		setClaim(claims, i.rolesClaim, roles)
	}
	return i.signs.sign(claims)
}

// sign makes a token of claims.
func (s *tokenSigner) sign(claims jwt.MapClaims) (string, error) {
	token := jwt.NewWithClaims(s.method, claims)
	if s.keyID != "" {
		token.Header["kid"] = s.keyID
	}
	return token.SignedString(s.key)
}

// setClaim writes to the place that claimAt reads from.
func setClaim(claims map[string]any, path string, value any) {
	first, rest, nested := strings.Cut(path, ".")
	if !nested || strings.Contains(path, "/") { // a name such as "https://id.example/roles"
		claims[path] = value
		return
	}
	inner, ok := claims[first].(map[string]any)
	if !ok {
		inner = map[string]any{}
		claims[first] = inner
	}
	setClaim(inner, rest, value)
}

// IsRegisteredClaim reports whether a claim is one that issue writes (RFC 7519 4.1).
func IsRegisteredClaim(name string) bool { return slices.Contains(registeredClaims, name) }

var registeredClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// A token's id has the moment of its issue in nanoseconds, random bytes, and a sum
// of both by which it is known as one of newTokenID's.
const (
	tokenIDTime  = 8
	tokenIDBytes = 32
	tokenIDSum   = tokenIDBytes - 8
)

// newTokenID makes the `jti` of a token. `iat` counts seconds, of the gateway's
// clock: a login after a logout of all, in the same second or by another gateway,
// is told from one before it by this.
func newTokenID(at time.Time) string {
	var id [tokenIDBytes]byte
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixNano()))
	_, _ = rand.Read(id[tokenIDTime:tokenIDSum]) // never fails: it crashes the process instead
	sum := sha256.Sum256(id[:tokenIDSum])
	copy(id[tokenIDSum:], sum[:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// issuedAt is when a token was issued; with no id of newTokenID the beginning
// of the second, without `iat` the beginning of time.
func issuedAt(claims jwt.MapClaims) time.Time {
	iat, err := claims.GetIssuedAt()
	if err != nil || iat == nil {
		return time.Time{}
	}
	jti, _ := claims["jti"].(string)
	id, err := base64.RawURLEncoding.DecodeString(jti)
	if err != nil || len(id) != tokenIDBytes {
		return iat.Time
	}
	sum := sha256.Sum256(id[:tokenIDSum])
	if !bytes.Equal(id[tokenIDSum:], sum[:tokenIDBytes-tokenIDSum]) {
		return iat.Time // somebody else's id
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(id)))
}
