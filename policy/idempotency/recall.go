package idempotency

import (
	"context"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/idempotency/keys"
	"github.com/transom-gateway/transom/proxy"
)

// recalled is the key in the Request under which a call is that Recall has begun.
type recalled struct{ *part }

// Recall returns the answer to a request that was written like the first one under its key: a client
// that tries again sends the same bytes, and no message has to be made of them to know that.
// All others are judged by Call. So are those of Redis, which has its answer for other
// gateways, too: a source holds for one load of the schema alone.
func (m *method) Recall(_ context.Context, r *policy.Request, s proxy.Source) (reply proxy.Reply, known bool, err error) {
	if m.known == nil {
		return proxy.Reply{}, false, nil
	}
	key, err := m.key(r, nil)
	if err != nil || key == "" {
		return proxy.Reply{}, false, nil //nolint:nilerr // Call finds it again, and refuses
	}
	c := m.call(r, key)
	c.source = keys.DigestOf(s.Body, m.load, m.rpc, s.Texts[0], s.Texts[1], s.Texts[2])
	kept := m.known.Known(c.ID)
	if kept == nil || kept.State != keys.Answered || kept.Source != c.source {
		r.Keep(recalled{m.part}, c)
		return proxy.Reply{}, false, nil
	}
	r.Received = kept.Received
	reply, err = c.replay(kept)
	return reply, true, err
}

// recalled is the call that Recall has begun; nil for none.
func (m *method) recalled(r *policy.Request) *call {
	c, _ := r.Kept(recalled{m.part}).(*call)
	return c
}
