package tlsfiles

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/transom-gateway/transom/internal/regularfile"
)

const (
	// leastSecret is how many bytes a secret must have from which keys are derived.
	leastSecret = 32
	// maxSecret is the largest file of secrets that is read, in bytes.
	maxSecret = 64 << 10
	// maxKeys is how many keys of session tickets there may be: each is tried.
	maxKeys = 16
)

// Secret keeps the secret of a file, without one line end after it. No error has any of it.
func Secret(name, what string) (*Kept[[]byte], error) {
	return Keep([]string{name}, func() ([]byte, error) {
		data, err := regularfile.Read(name, maxSecret)
		if err != nil {
			return nil, err
		}
		if data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r")); len(data) < leastSecret {
			return nil, fmt.Errorf("%s holds %d bytes, expected at least %d; openssl rand -hex 32 makes some", what, len(data), leastSecret)
		}
		return data, nil
	}, func([]byte) error { return nil })
}

// Keys keeps the keys of session tickets of a file, one a line: 64 hexadecimal digits, or base64 of 32
// bytes. No error has any of it.
func Keys(name, what string) (*Kept[[][32]byte], error) {
	return Keep([]string{name}, func() ([][32]byte, error) {
		data, err := regularfile.Read(name, maxSecret)
		if err != nil {
			return nil, err
		}
		return parseKeys(data, what)
	}, func([][32]byte) error { return nil })
}

func parseKeys(data []byte, what string) ([][32]byte, error) {
	var keys [][32]byte
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		key, ok := parseKey(line)
		if !ok {
			return nil, fmt.Errorf("%s:%d: found %d bytes, expected a key of 32 bytes as 64 hexadecimal digits or in base64; openssl rand -hex 32 makes one", what, n, len(line))
		}
		if keys = append(keys, key); len(keys) > maxKeys {
			return nil, fmt.Errorf("%s:%d: found more than %d keys; each of them is tried for each ticket", what, n, maxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New(what + " holds no key, expected one a line, as 64 hexadecimal digits or in base64; openssl rand -hex 32 makes one")
	}
	return keys, nil
}

func parseKey(line []byte) (key [32]byte, ok bool) {
	if len(line) == hex.EncodedLen(len(key)) {
		n, err := hex.Decode(key[:], line)
		return key, err == nil && n == len(key)
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(string(line))
	if err != nil || len(decoded) != len(key) {
		return key, false
	}
	return [32]byte(decoded), true
}
