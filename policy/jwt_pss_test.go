package policy

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"testing"
)

// TestPSSSaltLength: Semantics 325: a PSS signature has a salt as long as its hash.
func TestPSSSaltLength(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &tokenIssuer{}
	if err := i.fix(key.Public()); err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"PS256"}`)) + ".e30"
	digest := sha256.Sum256([]byte(signed))
	for _, length := range []int{0, 1, 20, 31, 32, 33, 222} {
		signature := signPSS(key, digest[:], length)
		if err := rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, digest[:], signature, nil); err != nil {
			t.Fatalf("a salt of %d bytes: no PSS signature at all: %v", length, err)
		}
		err := i.checkSignature(i.fixed, &parsedToken{signed: signed, signature: signature, algorithm: "PS256"})
		if (err == nil) != (length == 32) {
			t.Errorf("a salt of %d bytes: %v", length, err)
		}
	}
}

// signPSS is EMSA-PSS (RFC 8017 9.1.1) for a key of 2048 bits and SHA-256, with a
// salt of any length: crypto/rsa has none of 0 bytes.
func signPSS(key *rsa.PrivateKey, digest []byte, saltLength int) []byte {
	salt := bytes.Repeat([]byte{7}, saltLength)
	hash := sha256.Sum256(slices.Concat(make([]byte, 8), digest, salt))
	block := make([]byte, 256-32-1)
	block[len(block)-saltLength-1] = 1
	copy(block[len(block)-saltLength:], salt)
	for i, counter := 0, uint32(0); i < len(block); counter++ {
		mask := sha256.Sum256(binary.BigEndian.AppendUint32(slices.Clone(hash[:]), counter))
		for j := 0; j < len(mask) && i < len(block); j++ {
			block[i] ^= mask[j]
			i++
		}
	}
	block[0] &= 0x7f
	encoded := new(big.Int).SetBytes(slices.Concat(block, hash[:], []byte{0xbc}))
	return encoded.Exp(encoded, key.D, key.N).FillBytes(make([]byte, 256))
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
		_, err = parseKeySet(fmt.Appendf(nil, `{"keys":[{"kty":"RSA","e":"AQAB","n":%s%s}]}`, n, c.more), false)
		if (err == nil) != c.want {
			t.Errorf("a key with %s: usable %t, expected %t", c.more, err == nil, c.want)
		}
	}
	if _, err := parseKeySet(fmt.Appendf(nil, `{"Keys":[{"kty":"RSA","e":"AQAB","n":%q}]}`,
		base64.RawURLEncoding.EncodeToString(key.N.Bytes())), false); err == nil {
		t.Error("the member Keys was taken for keys")
	}
}
