package cache

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/canonical"
	"github.com/transom-gateway/transom/internal/tag"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/peers"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// writes is a backend whose calls drop answers when they have succeeded (Traffic 127).
type writes struct {
	proxy.Backend
	writer *writer
}

// Call implements proxy.Backend. What nobody knows the outcome of may have been done: its
// answers are dropped too.
func (b *writes) Call(ctx context.Context, path string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	w := b.writer
	r := policy.RequestOf(ctx)
	tags, ok := render(nil, w.drops, w.request, request.Bytes(), false)
	if !ok && r != nil {
		request.Free()
		return proxy.Reply{}, r.Refuse(w, errUnreadable)
	}
	before := refuser(r)
	reply, err := b.Backend.Call(ctx, path, header, request)
	switch {
	case err != nil && !sharing.MayBeDone(&reply, err, refuser(r) != before || transport.Unseen(err)):
		return reply, err
	case ok && err == nil:
		tags, ok = render(tags, w.drops, w.answer, reply.Message.Bytes(), true)
	}
	if !ok {
		// A message whose fields cannot be read: nobody knows what it was about.
		purgeAll(w.store, w.shared, memory.Purge{})
		return reply, err
	}
	peers.Invalidate(w.shared, tags, w.store)
	return reply, err
}

// errUnreadable refuses a write: whoever sends one and goes away would have all answers dropped.
var errUnreadable = status.Error(codes.InvalidArgument, "the message cannot be read: expected one in protobuf's wire format, nested 100 deep at most")

// refuser is who has refused a request so far; "" for nobody.
func refuser(r *policy.Request) string {
	if r == nil {
		return ""
	}
	return r.RefusedBy
}

// render appends the digests of the tags that templates make of a message, those over the answer or the
// others. It reports whether the message could be read.
func render(tags []string, templates []tag.Template, form *canonical.Form, message []byte, response bool) ([]string, bool) {
	var wire []byte
	for i := range templates {
		if templates[i].Response != response {
			continue
		}
		if wire == nil && form != nil {
			var err error
			if wire, err = form.Append(nil, message); err != nil {
				return tags, false
			}
		}
		tags = append(tags, tier.TagText(templates[i].Render(wire)))
	}
	return tags, true
}

// PurgeAnswers drops answers of all methods, as Store.Purge does, and of other gateways. told is false where
// these learn of it when Redis can be used again.
func (w *writer) PurgeAnswers(rpc, tag, principal string) (n int, told bool) {
	return purgeAll(w.store, w.shared, memory.Purge{RPC: rpc, Tag: tag, Principal: principal})
}
