// Package token is auth by JSON Web Tokens: it finds the token of a request, verifies it
// by the keys of its issuer, and makes an identity of its claims. It issues tokens for
// logins, too, and ends them at logouts. Keys are kept by package keys, and which tokens
// are over by package revocation.
package token

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/token/keys"
	"github.com/transom-gateway/transom/policy/auth/token/revocation"
)

// tokenBytes is the longest token that is looked at.
const tokenBytes = 16 << 10

var (
	// errToken is any token that is not accepted; why is nobody's business but the
	// log's.
	errToken = errors.New("the token is not valid")
	// errKeysAway is a token whose issuer's keys have never been read.
	errKeysAway = errors.New("the keys of the token's issuer cannot be read")
)

// Issuer is one entry of the configuration's auth.jwt.
type Issuer struct {
	Name           string
	audience       string
	algorithms     []string // configured; empty: what fits the key
	leeway         time.Duration
	principalClaim string
	rolesClaim     string
	forward        []auth.ForwardedClaim

	// One of the two holds the keys.
	fixed  *keys.Set
	source *keys.Source

	// signs is set where login may issue tokens.
	signs *tokenSigner
	// issues tells that a login issues this issuer's tokens, longest for how long:
	// such tokens can be logged out.
	issues  bool
	longest time.Duration
	now     func() time.Time
}

// Verified is a token that was found good, with all that follows from it. It
// is immutable but for used and checked.
type Verified struct {
	token     string
	issuer    *Issuer
	keys      *keys.Set
	until     time.Time
	audiences []string
	identity  *policy.Identity
	// metadata is what the backend learns.
	metadata []string
	// name and issued are what a logout is about; checked is when the store of
	// revoked tokens was asked (see revocations).
	name    revocation.Name
	issued  time.Time
	checked atomic.Int64

	hash uint64
	size int64
	used atomic.Bool
}

// current is the generation of the issuer's keys; nil if there are none yet.
func (i *Issuer) current() *keys.Set {
	if i.fixed != nil {
		return i.fixed
	}
	return i.source.Set()
}

// keysFor is the generation that a token with this `kid` is checked against.
func (i *Issuer) keysFor(ctx context.Context, kid string) *keys.Set {
	if i.fixed != nil {
		return i.fixed
	}
	return i.source.KeysWith(ctx, kid)
}

// parsedToken is a token in its parts; nothing of it is believed yet.
type parsedToken struct {
	signed    string // header and payload as they were signed
	signature []byte
	algorithm string
	kid       string
	claims    map[string]any
	issuer    string
}

// bringsKey are header parameters by which a token brings its own key or asks
// for a treatment that is not offered. `crit` stands for extensions that must be
// understood: none is (RFC 7515 4.1.11).
var bringsKey = []string{"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "epk", "cty"}

// tokenTypes are the values of `typ` that an access token may have, without
// "application/", in lower case (RFC 8725 3.11).
var tokenTypes = []string{"", "jwt", "at+jwt"}

// parseToken reads the compact form (RFC 7515 3.1) and refuses all that need
// not be there.
func parseToken(raw string) (*parsedToken, error) {
	if len(raw) > tokenBytes {
		return nil, errors.New("too long")
	}
	// Decoders skip line breaks: one token would have many spellings.
	if strings.ContainsAny(raw, "\r\n") {
		return nil, errors.New("a line break")
	}
	head, rest, _ := strings.Cut(raw, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	if head == "" || payload == "" || signature == "" || strings.Contains(signature, ".") {
		return nil, errors.New("not three parts")
	}
	t := &parsedToken{signed: raw[:len(head)+1+len(payload)]}
	header, err := tokenPart(head)
	if err != nil {
		return nil, err
	}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if t.claims, err = tokenPart(payload); err != nil {
		return nil, err
	}
	if t.signature, err = base64.RawURLEncoding.Strict().DecodeString(signature); err != nil {
		return nil, errors.New("the signature is not base64url")
	}
	t.issuer, _ = t.claims["iss"].(string)
	return t, nil
}

func (t *parsedToken) readHeader(header map[string]any) error {
	for _, name := range bringsKey {
		if _, ok := header[name]; ok {
			return errors.New("the header has " + name)
		}
	}
	var ok bool
	if t.algorithm, ok = header["alg"].(string); !ok {
		return errors.New("no algorithm")
	}
	if kid, there := header["kid"]; there {
		if t.kid, ok = kid.(string); !ok || t.kid == "" {
			return errors.New("kid is no string")
		}
	}
	if typ, there := header["typ"]; there {
		name, _ := typ.(string)
		name = strings.TrimPrefix(strings.ToLower(name), "application/")
		if name == "" || !slices.Contains(tokenTypes, name) {
			return errors.New("another type of token")
		}
	}
	return nil
}

func tokenPart(part string) (map[string]any, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("a part is not base64url")
	}
	return keys.StrictObject(data)
}

// verify checks the signature and the claims. The error is errKeysAway, or one
// that wraps errToken.
func (i *Issuer) verify(ctx context.Context, raw string, t *parsedToken) (*Verified, error) {
	keys := i.keysFor(ctx, t.kid)
	if keys == nil {
		return nil, errKeysAway
	}
	if err := i.checkSignature(keys, t); err != nil {
		return nil, err
	}
	v := &Verified{issuer: i, keys: keys}
	if err := i.readClaims(t.claims, v); err != nil {
		return nil, err
	}
	// The token may be part of a longer string; the cache must hold no more.
	v.token = strings.Clone(raw)
	v.size = int64(1024 + 10*len(raw))
	v.name = revocation.NameOf(i.Name, v.identity.Principal, t.signed)
	v.identity.Source = v
	return v, nil
}

func (i *Issuer) checkSignature(keys *keys.Set, t *parsedToken) error {
	if len(i.algorithms) > 0 && !slices.Contains(i.algorithms, t.algorithm) {
		return errors.New("an algorithm that is not configured")
	}
	method := verifyingMethod(t.algorithm)
	found := keys.Find(t.kid, t.algorithm)
	if method == nil || len(found) == 0 {
		return errors.New("no key for this kid and algorithm")
	}
	for _, k := range found {
		if method.Verify(t.signed, t.signature, k.Key) == nil {
			return nil
		}
	}
	return errors.New("the signature does not fit")
}

// pssMethods check RSASSA-PSS with a salt as long as the hash, which is the only
// length that RFC 7518 3.5 allows: the library's own methods take any.
var pssMethods = map[string]jwt.SigningMethod{
	"PS256": hashLongSalt(jwt.SigningMethodPS256),
	"PS384": hashLongSalt(jwt.SigningMethodPS384),
	"PS512": hashLongSalt(jwt.SigningMethodPS512),
}

func hashLongSalt(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: options, VerifyOptions: options}
}

// verifyingMethod checks signatures of an algorithm; nil if there is none.
func verifyingMethod(algorithm string) jwt.SigningMethod {
	if m := pssMethods[algorithm]; m != nil {
		return m
	}
	return jwt.GetSigningMethod(algorithm)
}
