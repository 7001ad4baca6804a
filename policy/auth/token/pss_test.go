package token

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // for SHA-384 and SHA-512
	"encoding/base64"
	"encoding/binary"
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
	i := &Issuer{}
	if err := i.fix(key.Public()); err != nil {
		t.Fatal(err)
	}
	for algorithm, hash := range map[string]crypto.Hash{"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512} {
		signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+algorithm+`"}`)) + ".e30"
		digest := digestOf(hash, []byte(signed))
		own, most := hash.Size(), 256-hash.Size()-2
		for _, length := range []int{0, 1, 20, 31, 32, 33, 47, 48, 49, 63, 64, 65, most} {
			signature := signPSS(key, hash, digest, length)
			if err := rsa.VerifyPSS(&key.PublicKey, hash, digest, signature, nil); err != nil {
				t.Fatalf("%s, a salt of %d bytes: no PSS signature at all: %v", algorithm, length, err)
			}
			err := i.checkSignature(i.fixed, &parsedToken{signed: signed, signature: signature, algorithm: algorithm})
			if (err == nil) != (length == own) {
				t.Errorf("%s, a salt of %d bytes: %v", algorithm, length, err)
			}
		}
	}
}

func digestOf(hash crypto.Hash, parts ...[]byte) []byte {
	h := hash.New()
	for _, part := range parts {
		_, _ = h.Write(part) // never fails
	}
	return h.Sum(nil)
}

// signPSS is EMSA-PSS (RFC 8017 9.1.1) for a key of 2048 bits, with a salt of any
// length: crypto/rsa has none of 0 bytes.
func signPSS(key *rsa.PrivateKey, hash crypto.Hash, digest []byte, saltLength int) []byte {
	salt := bytes.Repeat([]byte{7}, saltLength)
	sum := digestOf(hash, make([]byte, 8), digest, salt)
	block := make([]byte, 256-len(sum)-1)
	block[len(block)-saltLength-1] = 1
	copy(block[len(block)-saltLength:], salt)
	for i, counter := 0, uint32(0); i < len(block); counter++ {
		mask := digestOf(hash, binary.BigEndian.AppendUint32(slices.Clone(sum), counter))
		for j := 0; j < len(mask) && i < len(block); j++ {
			block[i] ^= mask[j]
			i++
		}
	}
	block[0] &= 0x7f
	encoded := new(big.Int).SetBytes(slices.Concat(block, sum, []byte{0xbc}))
	return encoded.Exp(encoded, key.D, key.N).FillBytes(make([]byte, 256))
}
