package auth

import (
	"fmt"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// The metadata by which a backend learns who calls. Values are percent-encoded
// where they hold anything but visible ASCII and spaces, or a percent sign; in a
// list of roles commas are encoded too. No client can send these names.
const (
	principalMetadata   = "x-transom-principal"
	rolesMetadata       = "x-transom-roles"
	claimMetadataPrefix = "x-transom-claim-"
)

// ForwardedClaim is a claim that backends are told.
type ForwardedClaim struct {
	claim string // its name or dotted path
	Name  string // of the metadata
}

// ForwardClaim checks that a claim's name can be that of metadata.
func ForwardClaim(claim string) (ForwardedClaim, error) {
	name := strings.ToLower(claim)
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return ForwardedClaim{}, fmt.Errorf("found the claim %q, expected letters, digits, '-', '_' and '.', "+
				"for it becomes the metadata %sNAME", claim, claimMetadataPrefix)
		}
	}
	if name == "" || strings.HasSuffix(name, "-bin") {
		return ForwardedClaim{}, fmt.Errorf("the claim %q cannot be the name of metadata", claim)
	}
	return ForwardedClaim{claim: claim, Name: claimMetadataPrefix + name}, nil
}

// ForwardAs is a claim whose name ForwardClaim has found good.
func ForwardAs(claim string) ForwardedClaim {
	return ForwardedClaim{claim: claim, Name: claimMetadataPrefix + strings.ToLower(claim)}
}

// MetadataOf is what a backend is told of an identity.
func MetadataOf(id *policy.Identity, forward []ForwardedClaim) []string {
	m := proxy.Metadata{principalMetadata, metadataValue(id.Principal, false)}
	if len(id.Roles) > 0 {
		roles := make([]string, len(id.Roles))
		for i, role := range id.Roles {
			roles[i] = metadataValue(role, true)
		}
		m.Add(rolesMetadata, strings.Join(roles, ","))
	}
	for _, f := range forward {
		if value, ok := ClaimAt(id.Claims, f.claim); ok {
			m.Add(f.Name, metadataValue(ClaimText(value), false))
		}
	}
	return m
}

// dropIdentity takes away what only the gateway may say.
func dropIdentity(m *proxy.Metadata) {
	m.DelFunc(func(name string) bool {
		return strings.HasPrefix(name, field.OwnPrefix) &&
			(name == principalMetadata || name == rolesMetadata || strings.HasPrefix(name, claimMetadataPrefix))
	})
}

// metadataValue percent-encodes what must not or cannot stand in metadata.
func metadataValue(s string, element bool) string {
	plain := func(c byte) bool { return c >= ' ' && c <= '~' && c != '%' && !(element && c == ',') }
	i := 0
	for i < len(s) && plain(s[i]) {
		i++
	}
	if i == len(s) && strings.TrimSpace(s) == s {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		// White space at the ends does not survive HTTP.
		if c := s[i]; plain(c) && (c != ' ' || i > 0 && i < len(s)-1) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
