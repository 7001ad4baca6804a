package sharing

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// whole is the size up to which a part of a key stands in it as it is; of a longer one it
// is the SHA-256 (Traffic 114).
const whole = 64

// AppendPart appends a part of a key, so that no two lists of parts are equal that are not
// the same.
func AppendPart(key, part []byte) []byte {
	if len(part) < whole {
		return append(append(key, byte(len(part))), part...)
	}
	sum := sha256.Sum256(part)
	return append(append(key, 0xff), sum[:]...)
}

// AppendText appends a text that may have any length.
func AppendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendIdentity appends who calls, and what of it the backend is told: a token with less
// rights must not get what one of the same principal with more has got, nor one of another issuer,
// who may mean somebody else by the same name. Where the backend is told of certificates, each is
// another caller, whatever else the caller has shown.
func (s *Scope) AppendIdentity(key []byte, r *policy.Request, told proxy.Metadata) []byte {
	var scratch [256]byte
	id := r.Identity
	b := AppendText(scratch[:0], id.Principal)
	issuer := id.Issuer()
	b = AppendText(AppendText(AppendText(b, id.Mechanism), issuer), s.named[issuer])
	for _, list := range [][]string{id.Roles, id.Scopes} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = AppendText(b, s)
		}
	}
	for i := 0; i+1 < len(told); i += 2 {
		if strings.HasPrefix(told[i], "x-transom-") {
			b = AppendText(AppendText(b, told[i]), told[i+1])
		}
	}
	for _, path := range s.claims {
		value, _ := auth.ClaimAt(id.Claims, path)
		b = AppendText(b, auth.ClaimText(value))
	}
	if s.Certificates {
		if leaf := r.Certificate(); leaf != nil {
			sum := sha256.Sum256(leaf.Raw)
			b = append(b, sum[:]...)
		}
	}
	return AppendPart(key, b)
}

// claimsTold lists the claims that the policy headers has in headers for the backend.
func claimsTold(t *transomv1.HeaderTransform) (paths []string) {
	for _, values := range []map[string]string{t.GetSet(), t.GetAdd()} {
		for _, value := range values {
			for _, behind := range strings.Split(value, "${claim.")[1:] {
				path, _, _ := strings.Cut(behind, "}")
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// AppendVaried appends what a call says under a name: in its header, and to the backend. A field
// that is there and empty is another one than none. One that Connection names says nothing, as no backend
// gets it: others who send it to backends must not get what was answered without it.
func AppendVaried(key []byte, canonicalName string, h http.Header, told proxy.Metadata) []byte {
	var scratch [128]byte
	lines := h[canonicalName]
	if len(lines) > 0 && field.NamedByConnection(h["Connection"])[canonicalName] {
		lines = nil
	}
	b := cachecontrol.Normal(scratch[:0], lines)
	for i := 0; i+1 < len(told); i += 2 {
		if strings.EqualFold(told[i], canonicalName) {
			b = AppendText(append(b, 1), told[i+1]) // no header's value has that byte
		}
	}
	return AppendPart(key, b)
}

// AppendVariant appends what a call says under the names that answers vary by.
func AppendVariant(key []byte, names []string, h http.Header, told proxy.Metadata) []byte {
	for _, n := range names {
		key = AppendVaried(AppendText(key, n), n, h, told)
	}
	return key
}

// Canonical are names as they stand in a http.Header.
func Canonical(names []string) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = textproto.CanonicalMIMEHeaderKey(n)
	}
	return all
}
