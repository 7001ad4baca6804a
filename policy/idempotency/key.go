package idempotency

import (
	"crypto/sha256"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/idempotency/keys"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// header is the name of the header, and of the metadata by which the backend gets the key.
const (
	header   = "Idempotency-Key"
	metadata = "idempotency-key"
	// replayed is the header that tells that an answer is not the call's own.
	replayed = "Idempotent-Replayed"
)

// isReplayed is its value. It has no room behind it, so that who appends to it has a list of its own.
var isReplayed = []string{"true"}

// key finds the key of a call, "" for none.
func (m *method) key(r *policy.Request, message []byte) (string, error) {
	if m.field != nil {
		key := m.field.value(message)
		if key == "" {
			return "", nil
		}
		return key, invalid(keys.Check(string(m.field.name), key))
	}
	lines := r.HTTP.Header[header]
	if len(lines) == 0 {
		return "", nil
	}
	key, err := keys.Read(lines)
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
	return keys.Refusal(codes.InvalidArgument, "IDEMPOTENCY_KEY_INVALID", err.Error())
}

// call begins the call of a request under a key. A key belongs to a caller and to the method or
// route, and to what else it is told apart by.
func (p *part) call(r *policy.Request, key string, more ...string) *call {
	var scratch [512]byte
	var id []byte
	if p.rule.GetScope() != transomv1.IdempotencyKey_METHOD && r.Identity != nil {
		id = p.appendNamer(keys.Append(scratch[:0], r.Identity.Principal, p.rpc, key), r.Identity)
	} else {
		id = keys.Append(scratch[:0], "", p.rpc, key)
	}
	id = keys.Append(id, more...)
	who := ""
	if r.Identity != nil {
		who = r.Identity.Principal
	}
	return &call{part: p, r: r, Call: keys.Call{
		ID: sha256.Sum256(id), TTL: p.ttl, Again: p.rule.GetBackendHonours(), Address: r.ClientIP, Lost: p.lost,
		About: keys.About{Key: key, Principal: who, RPC: p.rpc},
	}}
}

// appendNamer appends who gave a caller the name, and by what: of another issuer or from a certificate, it may be
// somebody else's. How many issuers there are does not matter, as a reload may change that while answers are kept.
func (p *part) appendNamer(key []byte, id *policy.Identity) []byte {
	issuer := id.Issuer()
	switch {
	case id.Mechanism == "mtls":
		return keys.Append(key, id.Mechanism)
	case issuer == "":
		issuer = p.issuer
	}
	if issuer != "" {
		key = keys.Append(key, "issuer", issuer)
	}
	if claim := p.named[issuer]; claim != "" {
		key = keys.Append(key, "claim", claim)
	}
	return key
}

// fingerprint tells requests apart that have one key.
func (m *method) fingerprint(message []byte) keys.Digest {
	// What has no form is told apart by its bytes; the backend refuses it.
	if form, err := m.form.Append(nil, message); err == nil {
		message = form
	}
	return keys.DigestOf(message, m.rpc)
}
