package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

const (
	// keySetBytes bounds a JSON Web Key Set.
	keySetBytes = 1 << 20
	// keySetKeys bounds the keys of a set.
	keySetKeys = 256
	// minSecretBytes is RFC 7518 3.2 for HS256.
	minSecretBytes = 32
	// minRSABits is RFC 7518 3.3; maxRSABits bounds what one check may cost.
	minRSABits, maxRSABits = 2048, 8192
)

var (
	hmacAlgorithms = []string{"HS256", "HS384", "HS512"}
	rsaAlgorithms  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
)

// tokenKey is a key that signatures are checked with, and the algorithms it
// may be used for: what a token says of its algorithm never chooses the kind of
// a key.
type tokenKey struct {
	id         string
	algorithms []string
	// key is []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey.
	key any
}

// keySet is an immutable set of keys. Its address is its generation: a token
// that was checked against another set is checked again.
type keySet struct {
	keys []tokenKey
	// single tells that the set is one configured key, which needs no `kid`.
	single bool
}

// find gives the keys that may have signed a token with this header. Without a
// `kid` there must be no choice.
func (s *keySet) find(kid, algorithm string) []tokenKey {
	var found []tokenKey
	for _, k := range s.keys {
		if (s.single || kid == "" || k.id == kid) && slices.Contains(k.algorithms, algorithm) {
			found = append(found, k)
		}
	}
	if kid == "" && len(found) > 1 {
		return nil
	}
	return found
}

// knows reports whether any key has this id.
func (s *keySet) knows(kid string) bool {
	return s.single || kid == "" || slices.ContainsFunc(s.keys, func(k tokenKey) bool { return k.id == kid })
}

// restrict leaves only the configured algorithms, all if there are none.
func (s *keySet) restrict(algorithms []string) *keySet {
	if len(algorithms) == 0 {
		return s
	}
	r := &keySet{single: s.single}
	for _, k := range s.keys {
		k.algorithms = slices.DeleteFunc(slices.Clone(k.algorithms), func(a string) bool { return !slices.Contains(algorithms, a) })
		if len(k.algorithms) > 0 {
			r.keys = append(r.keys, k)
		}
	}
	return r
}

// algorithmsOf gives what a key may be used for; nil for a key that is too weak
// or of an unknown kind.
func algorithmsOf(key any) []string {
	switch k := key.(type) {
	case []byte:
		if len(k) >= minSecretBytes {
			return hmacAlgorithms
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= minRSABits && n <= maxRSABits {
			return rsaAlgorithms
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		case elliptic.P521():
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return []string{"EdDSA"}
		}
	}
	return nil
}

// parsePublicKey reads one PEM block: a public key or a certificate.
func parsePublicKey(text string) (any, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM block; expected -----BEGIN PUBLIC KEY-----")
	}
	if strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("more than one PEM block; expected one public key")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	}
	return nil, fmt.Errorf("a PEM block %q; expected PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
}

// parsePrivateKey reads one PEM block: PKCS #8, PKCS #1 or SEC 1.
func parsePrivateKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM block; expected -----BEGIN PRIVATE KEY-----")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a PEM block %q; expected PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY", block.Type)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a private key of the kind %T cannot sign", key)
	}
	return signer, nil
}

// jwk is one key of a set (RFC 7517, 7518, 8037).
type jwk struct {
	Kty string   `json:"kty"`
	Kid string   `json:"kid"`
	Alg string   `json:"alg"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
	Crv string   `json:"crv"`
	N   string   `json:"n"`
	E   string   `json:"e"`
	X   string   `json:"x"`
	Y   string   `json:"y"`
	K   string   `json:"k"`
}

// parseKeySet reads a JSON Web Key Set. Keys that are not for signatures, of
// an unknown kind or too weak are left out, as RFC 7517 5 asks; a set without
// any usable key is an error. Secrets count only where symmetric is true: what
// everyone can fetch is no secret.
func parseKeySet(data []byte, symmetric bool) (*keySet, error) {
	if len(data) > keySetBytes {
		return nil, fmt.Errorf("the key set has more than %d bytes", keySetBytes)
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("no JSON Web Key Set: %w", err)
	}
	if len(document.Keys) > keySetKeys {
		return nil, fmt.Errorf("the key set has %d keys, expected %d at most", len(document.Keys), keySetKeys)
	}
	set := &keySet{}
	for _, raw := range document.Keys {
		if k, ok := parseKey(raw, symmetric); ok {
			set.keys = append(set.keys, k)
		}
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("the key set has no usable key among %d", len(document.Keys))
	}
	return set, nil
}

func parseKey(raw []byte, symmetric bool) (tokenKey, bool) {
	var j jwk
	if json.Unmarshal(raw, &j) != nil || j.Use != "" && j.Use != "sig" || len(j.Ops) > 0 && !slices.Contains(j.Ops, "verify") {
		return tokenKey{}, false
	}
	k := tokenKey{id: j.Kid, key: j.public(symmetric)}
	k.algorithms = algorithmsOf(k.key)
	if j.Alg != "" {
		if !slices.Contains(k.algorithms, j.Alg) {
			return tokenKey{}, false
		}
		k.algorithms = []string{j.Alg}
	}
	return k, len(k.algorithms) > 0
}

// public makes the key; nil if it is not one.
func (j *jwk) public(symmetric bool) any {
	switch j.Kty {
	case "RSA":
		return j.rsa()
	case "EC":
		return j.ecdsa()
	case "OKP":
		if x := number(j.X); j.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x)
		}
	case "oct":
		if symmetric {
			return number(j.K)
		}
	}
	return nil
}

func (j *jwk) rsa() any {
	n, e := number(j.N), number(j.E)
	if len(n) > maxRSABits/8 || len(e) == 0 || len(e) > 4 {
		return nil
	}
	exponent := 0
	for _, b := range e {
		exponent = exponent<<8 | int(b)
	}
	if exponent < 3 || exponent%2 == 0 || exponent > 1<<31-1 {
		return nil
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exponent}
}

func (j *jwk) ecdsa() any {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve := curves[j.Crv]
	if curve == nil {
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	x, y := number(j.X), number(j.Y)
	if len(x) != size || len(y) != size {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil // not on the curve
	}
	return key
}

// number decodes base64url; nil if it is none.
func number(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}
