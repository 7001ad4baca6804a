package idempotency

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// header is the name of the header, and of the metadata by which the backend gets the key.
const (
	header   = "Idempotency-Key"
	metadata = "idempotency-key"
	// replayed is the header that tells that an answer is not the call's own.
	replayed = "Idempotent-Replayed"
)

// maxKey is how long a key may be.
const maxKey = 255

// readKey reads the key of a request: a string of RFC 9651, "…", or the same characters
// without the quotes, which is what most clients send.
func readKey(lines []string) (string, error) {
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
	return key, checkKey(key)
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

// checkKey holds the bounds of keys.
func checkKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("Idempotency-Key: found %d characters, expected 1 to %d", len(key), maxKey)
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e || key[i] == ' ' {
			return fmt.Errorf("Idempotency-Key: found the byte 0x%02x, expected visible characters of ASCII", key[i])
		}
	}
	return nil
}

// key finds the key of a call, "" for none.
func (p *part) key(r *policy.Request, message []byte) (string, error) {
	if p.field != nil {
		key := p.field.value(message)
		if key == "" {
			return "", nil
		}
		return key, invalid(checkKey(key))
	}
	lines := r.HTTP.Header[header]
	if len(lines) == 0 {
		return "", nil
	}
	key, err := readKey(lines)
	return key, invalid(err)
}

// value is the last value of the field in a message, as any parser reads it.
func (f *keyField) value(message []byte) (key string) {
	for len(message) > 0 {
		number, t, n := protowire.ConsumeField(message)
		if n < 0 {
			return ""
		}
		if number == f.number && t == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(message)
			if value, m := protowire.ConsumeBytes(message[tag:]); m >= 0 {
				key = string(value)
			}
		}
		message = message[n:]
	}
	return key
}

// invalid makes a refusal of what is wrong with a key.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return refusal(codes.InvalidArgument, "IDEMPOTENCY_KEY_INVALID", err.Error())
}

// refusal is a gRPC status error with a reason.
func refusal(code codes.Code, reason, text string) error {
	return policy.Refusal(code, text, &errdetails.ErrorInfo{Reason: reason, Domain: policy.ErrorDomain})
}

// digest is a SHA-256.
type digest = [sha256.Size]byte

// identify tells keys apart: by whose they are, and the method. owner is whose memory the
// answer takes.
func (p *part) identify(r *policy.Request, key string) (id, owner digest) {
	principal := ""
	if p.rule.GetScope() != transomv1.IdempotencyKey_METHOD && r.Identity != nil {
		principal = r.Identity.Principal
	}
	h := sha256.New()
	write(h, principal, p.rpc, key)
	payer := "address " + r.ClientIP.String()
	if r.Identity != nil {
		payer = "principal " + r.Identity.Principal
	}
	return digest(h.Sum(nil)), sha256.Sum256([]byte(payer))
}

// write writes texts so that no two lists of them are written alike.
func write(h hash.Hash, texts ...string) {
	for _, text := range texts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(text)))
		_, _ = h.Write(length[:]) // a hash takes all
		_, _ = io.WriteString(h, text)
	}
}

// fingerprint tells requests apart that have one key.
func (p *part) fingerprint(message []byte) digest {
	// What has no form is told apart by its bytes; the backend refuses it.
	if form, err := p.form.Append(nil, message); err == nil {
		message = form
	}
	h := sha256.New()
	write(h, p.rpc)
	_, _ = h.Write(message) // a hash takes all
	return digest(h.Sum(nil))
}
