package keys

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/keytest"
)

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// derOf takes what x509 writes and fails the test for an error.
func derOf(t *testing.T) func([]byte, error) []byte {
	return func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
}

func TestPEMKeys(t *testing.T) {
	k, der := keytest.TestKeys(), derOf(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate := der(x509.CreateCertificate(rand.Reader, template, template, &k.P256.PublicKey, k.P256))
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, text string
		want       string // in the error; empty: it is good
		public     crypto.PublicKey
	}{
		{"PKIX", keytest.PublicPEM(t, &k.RSA.PublicKey), "", &k.RSA.PublicKey},
		{"PKCS #1", pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.RSA.PublicKey)), "", &k.RSA.PublicKey},
		{"a certificate", pemOf("CERTIFICATE", certificate), "", &k.P256.PublicKey},
		{"a broken certificate", pemOf("CERTIFICATE", []byte("x")), "x509", nil},
		{"a broken key", pemOf("PUBLIC KEY", []byte("x")), "asn1", nil},
		{"another block", pemOf("EC PARAMETERS", nil), `a PEM block "EC PARAMETERS"`, nil},
		{"text", "MIIB", "no PEM block", nil},
	} {
		t.Run("public "+test.name, func(t *testing.T) {
			key, err := ParsePublic(test.text)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				return
			}
			if err != nil || !test.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
				t.Errorf("got %v, %v", key, err)
			}
		})
	}
	for _, test := range []struct {
		name, text, want string
		public           crypto.PublicKey
	}{
		{"PKCS #8", keytest.PrivatePEM(t, k.Ed), "", k.Ed.Public()},
		{"PKCS #1", pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k.RSA)), "", &k.RSA.PublicKey},
		{"SEC 1", pemOf("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(k.P384))), "", &k.P384.PublicKey},
		{"for key agreement", pemOf("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(x25519))), "cannot sign", nil},
		{"a broken key", pemOf("PRIVATE KEY", []byte("x")), "asn1", nil},
		{"a public key", keytest.PublicPEM(t, k.Ed.Public()), `a PEM block "PUBLIC KEY"`, nil},
		{"text", "MIIB", "no PEM block", nil},
	} {
		t.Run("private "+test.name, func(t *testing.T) {
			key, err := ParsePrivate(test.text)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				return
			}
			if err != nil || !test.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
				t.Errorf("got %v, %v", key, err)
			}
		})
	}
}

func TestWeakKeysAreForNothing(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{
		"P-224":          &p224.PublicKey,
		"RSA, 1024 bits": &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537},
		"RSA, huge":      &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), MaxRSABits), E: 65537},
		"31 bytes":       []byte(strings.Repeat("x", 31)),
		"nothing":        nil,
		"another kind":   "x",
	} {
		if got := AlgorithmsOf(key); got != nil {
			t.Errorf("%s is good for %v", name, got)
		}
	}
}

// TestKeyPurposeObeyed: Semantics 325: what a key says of its use, operations and algorithm is obeyed,
// by the exact names.
func TestKeyPurposeObeyed(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		more string
		want bool
	}{
		{``, true},
		{`,"use":"sig"`, true},
		{`,"use":""`, false},
		{`,"use":"enc"`, false},
		{`,"use":"SIG"`, false},
		{`,"use":null`, false},
		{`,"use":["sig"]`, false},
		{`,"USE":"enc"`, true},
		{`,"Use":"sig","use":"enc"`, false},
		{`,"use":"enc","Use":"sig"`, false},
		{`,"use":"enc","use":"sig"`, false},
		{`,"key_ops":[]`, false},
		{`,"key_ops":null`, false},
		{`,"key_ops":"verify"`, false},
		{`,"key_ops":["sign"]`, false},
		{`,"key_ops":["Verify"]`, false},
		{`,"key_ops":["sign","verify"]`, true},
		{`,"key_ops":["verify"],"use":"enc"`, false},
		{`,"alg":"PS256"`, true},
		{`,"alg":""`, false},
		{`,"alg":null`, false},
		{`,"alg":"ps256"`, false},
		{`,"alg":"ES256"`, false},
		{`,"kid":7`, false},
		{`,"kid":null`, false},
	} {
		n, err := json.Marshal(base64.RawURLEncoding.EncodeToString(key.N.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseSet(fmt.Appendf(nil, `{"keys":[{"kty":"RSA","e":"AQAB","n":%s%s}]}`, n, c.more), false)
		if (err == nil) != c.want {
			t.Errorf("a key with %s: usable %t, expected %t", c.more, err == nil, c.want)
		}
	}
	if _, err := ParseSet(fmt.Appendf(nil, `{"Keys":[{"kty":"RSA","e":"AQAB","n":%q}]}`,
		base64.RawURLEncoding.EncodeToString(key.N.Bytes())), false); err == nil {
		t.Error("the member Keys was taken for keys")
	}
}
