package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"github.com/transom-gateway/transom/internal/field"
	"net/textproto"
	"strings"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// whole is the size up to which a part of a key stands in it as it is; of a longer one it
// is the SHA-256 (Traffic 114).
const whole = 64

// appendPart appends a part of a key, so that no two lists of parts are equal that are not
// the same.
func appendPart(key, part []byte) []byte {
	if len(part) < whole {
		return append(append(key, byte(len(part))), part...)
	}
	sum := sha256.Sum256(part)
	return append(append(key, 0xff), sum[:]...)
}

// caller is who may share an answer with whom.
type caller struct {
	principal string // "" for all
	// doubtful tells that a credential came which the gateway has not looked at, or that
	// the caller is known and answers are shared: only what says that it may be is kept.
	doubtful bool
}

// caller says whose answers a call may have; ok is false for none (Traffic 116).
func (p *part) caller(r *policy.Request) (c caller, ok bool) {
	credentials := len(r.HTTP.Header["Authorization"]) > 0 || field.HasOtherCookies(r.HTTP.Header["Cookie"], p.ownCookies())
	switch {
	case p.principal:
		// A header Authorization that nobody has looked at may name someone else.
		if r.Identity == nil || r.Unverified && len(r.HTTP.Header["Authorization"]) > 0 {
			return c, false
		}
		return caller{principal: r.Identity.Principal}, true
	case p.auth:
		return caller{doubtful: true}, true
	case credentials:
		return caller{doubtful: true}, p.explicit
	}
	return c, true
}

// appendKey appends the key of a call up to what the answer itself varies by.
func (p *part) appendKey(key []byte, r *policy.Request, header proxy.Metadata, c caller, canonical []byte) []byte {
	key = binary.BigEndian.AppendUint64(key, p.method.id)
	if p.principal {
		key = appendIdentity(key, r.Identity, header)
	}
	for _, name := range p.vary {
		key = appendVaried(key, name, r, header)
	}
	if c.doubtful { // what callers without a credential get may be something else
		return appendPart(append(key, 1), canonical)
	}
	return appendPart(append(key, 0), canonical)
}

// appendIdentity appends who calls, and what of it the backend is told: a token with less
// rights must not get what one of the same principal with more has got.
func appendIdentity(key []byte, id *policy.Identity, header proxy.Metadata) []byte {
	var scratch [256]byte
	b := appendText(scratch[:0], id.Principal)
	b = appendText(b, id.Mechanism)
	for _, list := range [][]string{id.Roles, id.Scopes} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = appendText(b, s)
		}
	}
	for i := 0; i+1 < len(header); i += 2 {
		if strings.HasPrefix(header[i], "x-transom-") {
			b = appendText(appendText(b, header[i]), header[i+1])
		}
	}
	return appendPart(key, b)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendVaried appends what a call says under a name: in its header, and to the backend.
func appendVaried(key []byte, canonicalName string, r *policy.Request, header proxy.Metadata) []byte {
	var scratch [128]byte
	b := cachecontrol.Normal(scratch[:0], r.HTTP.Header[canonicalName])
	for i := 0; i+1 < len(header); i += 2 {
		if strings.EqualFold(header[i], canonicalName) {
			b = append(append(b, 0), header[i+1]...)
		}
	}
	return appendPart(key, b)
}

// appendVariant appends what a call says under the names that answers vary by.
func appendVariant(key []byte, names []string, r *policy.Request, header proxy.Metadata) []byte {
	for _, n := range names {
		key = appendVaried(appendText(key, n), n, r, header)
	}
	return key
}

// canonicalNames are names as they stand in a http.Header.
func canonicalNames(names []string) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = textproto.CanonicalMIMEHeaderKey(n)
	}
	return all
}
