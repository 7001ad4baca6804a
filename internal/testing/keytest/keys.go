// Package keytest makes keys, key sets, servers of key sets and tokens for tests.
package keytest

import (
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
	"math/big"
	"sync"
	"testing"
)

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
