package keys

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/keptkey"
	"github.com/transom-gateway/transom/policy"
)

// maxKey is how long a key may be.
const maxKey = 255

// Read reads the key of a request: a string of RFC 9651, "…", or the same characters
// without the quotes, which is what most clients send.
func Read(lines []string) (string, error) {
	if len(lines) > 1 {
		return "", fmt.Errorf("found %d headers Idempotency-Key, expected one", len(lines))
	}
	key := strings.Trim(lines[0], " \t")
	if strings.HasPrefix(key, `"`) {
		var err error
		if key, err = unquote(key); err != nil {
			return "", err
		}
	}
	return key, Check("Idempotency-Key", key)
}

// reading is a filter that has its key read, too.
func reading(f keptkey.Filter) keptkey.Filter {
	if key, err := Read([]string{f.Key}); err == nil {
		f.Read = key
	}
	return f
}

// unquote reads a string of RFC 9651, 4.2.5. Parameters are not looked at.
func unquote(text string) (string, error) {
	var key strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			if rest := strings.TrimLeft(text[i+1:], " "); rest != "" && rest[0] != ';' {
				return "", errors.New("Idempotency-Key: found more behind the closing quote")
			}
			return key.String(), nil
		case '\\':
			if i++; i == len(text) || text[i] != '"' && text[i] != '\\' {
				return "", errors.New(`Idempotency-Key: found a backslash that stands before neither " nor \`)
			}
			key.WriteByte(text[i])
		default:
			key.WriteByte(c)
		}
	}
	return "", errors.New("Idempotency-Key: found no closing quote")
}

// Check holds the bounds of keys; where is the header or field that has the key.
func Check(where, key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("%s: found %d characters, expected 1 to %d", where, len(key), maxKey)
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e || key[i] == ' ' {
			return fmt.Errorf("%s: found the byte 0x%02x, expected visible characters of ASCII", where, key[i])
		}
	}
	return nil
}

// Refusal is a gRPC status error with a reason.
func Refusal(code codes.Code, reason, text string) error {
	return policy.Refusal(code, text, &errdetails.ErrorInfo{Reason: reason, Domain: policy.ErrorDomain})
}
