package httpcache

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/policy/cache/internal/rfc9111"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

// uri is what the request is about.
func (q *request) uri() string { return string(q.appendURI(nil)) }

// appendURI appends what a request is about, as the client sees it: scheme, authority, path
// and query.
func (q *request) appendURI(b []byte) []byte {
	scheme := "http"
	if q.r.Secure() {
		scheme = "https"
	}
	return append(rfc9111.AppendOrigin(b, scheme, q.r.Authority()), q.path...)
}

// appendKey appends the key of a request up to what the answer itself varies by: GET and HEAD
// have the same. Besides the URI it has what the server is asked for, which a rewrite may
// change, and who shares the answer.
func (q *request) appendKey(key []byte) []byte {
	p := q.part
	key = append(key, 'h') // others have keys in the same memory
	key = binary.BigEndian.AppendUint64(key, p.group.id)
	var scratch [256]byte
	key = sharing.AppendPart(key, q.appendURI(scratch[:0]))
	key = sharing.AppendPart(key, append(scratch[:0], strings.ToLower(q.x.Host)...))
	key = sharing.AppendPart(key, append(scratch[:0], q.x.Target...))
	if p.Principal {
		key = p.AppendIdentity(key, q.r, q.r.Metadata)
	}
	for _, name := range p.Vary {
		key = sharing.AppendVaried(key, name, q.r.HTTP.Header, q.r.Metadata)
	}
	if q.caller.Doubtful { // what callers without a credential get may be something else
		return append(key, 1)
	}
	return append(key, 0)
}

// appendVariant appends what the request says under the names that answers vary by. What it
// appends to is not changed.
func (q *request) appendVariant(primary []byte, names []string) []byte {
	return sharing.AppendVariant(slices.Clip(primary), names, q.r.HTTP.Header, q.r.Metadata)
}
