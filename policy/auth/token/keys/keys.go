// Package keys reads the keys that tokens are verified with: PEM, and JSON Web Key Sets
// from files and URLs, which it keeps fresh. It knows nothing of tokens.
//
// It reads key sets itself, for a library that unmarshals them by encoding/json takes
// names in any case, the last of two, and null for nothing. Of the 20 keys that
// TestKeyPurposeObeyed has refused, github.com/MicahParks/jwkset (v0.11.4) takes 11, and
// of nine of these its caller cannot tell that they were to be refused.
package keys

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
	// SetBytes bounds a JSON Web Key Set.
	SetBytes = 1 << 20
	// setKeys bounds the keys of a set.
	setKeys = 256
	// MinSecretBytes is RFC 7518 3.2 for HS256.
	MinSecretBytes = 32
	// MinRSABits is RFC 7518 3.3.
	MinRSABits = 2048
	// MaxRSABits bounds what one check may cost.
	MaxRSABits = 8192
)

// The algorithms of secrets and of RSA keys.
var (
	HMACAlgorithms = []string{"HS256", "HS384", "HS512"}
	RSAAlgorithms  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
)

// Key is a key that signatures are checked with, and the algorithms it
// may be used for: what a token says of its algorithm never chooses the kind of
// a key.
type Key struct {
	id         string
	Algorithms []string
	// Key is []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey.
	Key any
}

// Set is an immutable set of keys. Its address is its generation: a token
// that was checked against another set is checked again.
type Set struct {
	Keys []Key
	// Single tells that the set is one configured key, which needs no `kid`.
	Single bool
}

// Find gives the keys that may have signed a token with this header. Without a
// `kid` there must be no choice.
func (s *Set) Find(kid, algorithm string) []Key {
	var found []Key
	for _, k := range s.Keys {
		if (s.Single || kid == "" || k.id == kid) && slices.Contains(k.Algorithms, algorithm) {
			found = append(found, k)
		}
	}
	if kid == "" && len(found) > 1 {
		return nil
	}
	return found
}

// knows reports whether any key has this id.
func (s *Set) knows(kid string) bool {
	return s.Single || kid == "" || slices.ContainsFunc(s.Keys, func(k Key) bool { return k.id == kid })
}

// Restrict leaves only the configured algorithms, all if there are none.
func (s *Set) Restrict(algorithms []string) *Set {
	if len(algorithms) == 0 {
		return s
	}
	r := &Set{Single: s.Single}
	for _, k := range s.Keys {
		k.Algorithms = slices.DeleteFunc(slices.Clone(k.Algorithms), func(a string) bool { return !slices.Contains(algorithms, a) })
		if len(k.Algorithms) > 0 {
			r.Keys = append(r.Keys, k)
		}
	}
	return r
}

// AlgorithmsOf gives what a key may be used for; nil for a key that is too weak
// or of an unknown kind.
func AlgorithmsOf(key any) []string {
	switch k := key.(type) {
	case []byte:
		if len(k) >= MinSecretBytes {
			return HMACAlgorithms
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= MinRSABits && n <= MaxRSABits {
			return RSAAlgorithms
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

// ParsePublic reads one PEM block: a public key or a certificate.
func ParsePublic(text string) (any, error) {
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

// ParsePrivate reads one PEM block: PKCS #8, PKCS #1 or SEC 1.
func ParsePrivate(text string) (crypto.Signer, error) {
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

// jwk is one key of a set (RFC 7517, 7518, 8037): its parameters by their exact
// names.
type jwk map[string]any

// text is a parameter that is a string; empty where it is not there.
func (j jwk) text(name string) string {
	s, _ := j[name].(string)
	return s
}

// verifies reports whether the key says that it is for verifying signatures,
// or says nothing of its purpose. What it says and cannot be understood is a no.
func (j jwk) verifies() bool {
	if use, there := j["use"]; there && use != "sig" {
		return false
	}
	value, there := j["key_ops"]
	if !there {
		return true
	}
	operations, ok := value.([]any)
	return ok && slices.Contains(operations, any("verify"))
}

// ParseSet reads a JSON Web Key Set. Keys that are not for signatures, of
// an unknown kind or too weak are left out, as RFC 7517 5 asks; a set without
// any usable key is an error. Secrets count only where symmetric is true: what
// everyone can fetch is no secret.
func ParseSet(data []byte, symmetric bool) (*Set, error) {
	if len(data) > SetBytes {
		return nil, fmt.Errorf("the key set has more than %d bytes", SetBytes)
	}
	var document map[string]json.RawMessage // a struct would take names in any case
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("no JSON Web Key Set: %w", err)
	}
	var keys []json.RawMessage
	if list, there := document["keys"]; there {
		if err := json.Unmarshal(list, &keys); err != nil {
			return nil, fmt.Errorf("no JSON Web Key Set: keys: %w", err)
		}
	}
	if len(keys) > setKeys {
		return nil, fmt.Errorf("the key set has %d keys, expected %d at most", len(keys), setKeys)
	}
	set := &Set{}
	for _, raw := range keys {
		if k, ok := parseKey(raw, symmetric); ok {
			set.Keys = append(set.Keys, k)
		}
	}
	if len(set.Keys) == 0 {
		return nil, fmt.Errorf("the key set has no usable key among %d", len(keys))
	}
	return set, nil
}

func parseKey(raw []byte, symmetric bool) (Key, bool) {
	object, err := StrictObject(raw)
	j := jwk(object)
	if err != nil || !j.verifies() {
		return Key{}, false
	}
	k := Key{id: j.text("kid"), Key: j.public(symmetric)}
	if kid, there := j["kid"]; there && kid != any(k.id) {
		return Key{}, false
	}
	k.Algorithms = AlgorithmsOf(k.Key)
	if _, there := j["alg"]; there {
		if !slices.Contains(k.Algorithms, j.text("alg")) {
			return Key{}, false
		}
		k.Algorithms = []string{j.text("alg")}
	}
	return k, len(k.Algorithms) > 0
}

// public makes the key; nil if it is not one.
func (j jwk) public(symmetric bool) any {
	switch j.text("kty") {
	case "RSA":
		return j.rsa()
	case "EC":
		return j.ecdsa()
	case "OKP":
		if x := number(j.text("x")); j.text("crv") == "Ed25519" && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x)
		}
	case "oct":
		if symmetric {
			return number(j.text("k"))
		}
	}
	return nil
}

func (j jwk) rsa() any {
	n, e := number(j.text("n")), number(j.text("e"))
	if len(n) > MaxRSABits/8 || len(e) == 0 || len(e) > 4 {
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

func (j jwk) ecdsa() any {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve := curves[j.text("crv")]
	if curve == nil {
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	x, y := number(j.text("x")), number(j.text("y"))
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
