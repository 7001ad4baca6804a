package gateway

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// hashUse is what was found of the methods of an upstream whose calls have keys.
type hashUse struct {
	found   bool     // a method has the field, or callers that it knows
	problem string   // of the field of one of them
	names   []string // of fields that there are
}

// noteHash notes whether calls of a method have a key.
func (b *builder) noteHash(upstream string, d protoreflect.MethodDescriptor, set *policy.Set, p *placing) {
	if p == nil || p.key != transomv1.Hash_FIELD && p.key != transomv1.Hash_PRINCIPAL {
		return
	}
	h := b.hashes[upstream]
	if h == nil {
		h = new(hashUse)
		if b.hashes == nil {
			b.hashes = map[string]*hashUse{}
		}
		b.hashes[upstream] = h
	}
	if p.key == transomv1.Hash_PRINCIPAL {
		h.found = h.found || knowsCallers(set.Effective.GetAuth())
		return
	}
	if d.IsStreamingClient() || d.IsStreamingServer() {
		return
	}
	f := fieldOf(d, p.field.path)
	h.found = h.found || f.numbers != nil
	h.problem = max(h.problem, f.problem)
	for i := range d.Input().Fields().Len() {
		if field := d.Input().Fields().Get(i); unreadable(field, true) == "" {
			h.names = append(h.names, string(field.Name()))
		}
	}
}

// checkHashes refuses hashes of fields that no method has, and warns of those of callers
// whom no method knows.
func (b *builder) checkHashes() {
	for _, u := range b.upstreams {
		h := b.hashes[u.name]
		switch {
		case h == nil || h.found:
		case u.placing.key == transomv1.Hash_PRINCIPAL:
			b.warn(fmt.Sprintf("upstreams.%s.grpc.balancing.hash.key: PRINCIPAL has no effect, as no method of the upstream has auth.jwt, auth.session, auth.mixed or auth.mtls: "+
				"calls are made where there are fewer calls", u.name), "upstreams", u.name, "grpc", "balancing", "hash", "key")
		default:
			b.missingHashField(u, h)
		}
	}
}

func (b *builder) missingHashField(u namedUpstream, h *hashUse) {
	name := strings.Join(u.placing.field.path, ".")
	message := fmt.Sprintf("upstreams.%s.grpc.balancing.hash.field: no unary method of the upstream has the field %q in its request", u.name, name)
	slices.Sort(h.names)
	switch near := nearest.Of(slices.Compact(h.names), name); {
	case h.problem != "":
		message = fmt.Sprintf("upstreams.%s.grpc.balancing.hash.field: %s; expected a field with a text, bytes, a whole number, an enum or a bool", u.name, h.problem)
	case near != "":
		message += fmt.Sprintf("; did you mean %s?", near)
	}
	b.refuse(message, "upstreams", u.name, "grpc", "balancing", "hash", "field")
}
