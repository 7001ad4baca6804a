package cache

import (
	"encoding/binary"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/proxy"
)

// appendKey appends the key of a call up to what the answer itself varies by.
func (p *part) appendKey(key []byte, r *policy.Request, header proxy.Metadata, c sharing.Caller, canonical []byte) []byte {
	key = binary.BigEndian.AppendUint64(key, p.method.id)
	if p.Principal {
		key = p.AppendIdentity(key, r, header)
	}
	for _, name := range p.Vary {
		key = sharing.AppendVaried(key, name, r.HTTP.Header, header)
	}
	if c.Doubtful { // what callers without a credential get may be something else
		return sharing.AppendPart(append(key, 1), canonical)
	}
	return sharing.AppendPart(append(key, 0), canonical)
}

// appendVariant appends what a call says under the names that answers vary by.
func appendVariant(key []byte, names []string, r *policy.Request, header proxy.Metadata) []byte {
	return sharing.AppendVariant(key, names, r.HTTP.Header, header)
}
