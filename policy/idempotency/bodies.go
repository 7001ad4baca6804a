package idempotency

import (
	"sync"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/idempotency/keys"
)

// maxSending bounds what one client has in memory of bodies that it is still sending, in bytes: an
// eighth of what all bodies may take that are kept. Without it, one client who ends none of its
// bodies would have the requests of all others refused.
const maxSending = 8 << 20

// bodies are those of requests under keys that are not complete. They are of all routes, and
// safe for concurrent use.
type bodies struct {
	mu sync.Mutex
	of map[keys.Digest]int64
}

// bodiesKey is that of the bodies in the State.
type bodiesKey struct{}

// bodiesOf are those of a generation's State.
func bodiesOf(g *policy.Generation) (*bodies, error) {
	return policy.Lease(g, bodiesKey{}, func() (*bodies, error) { return &bodies{of: map[keys.Digest]int64{}}, nil })
}

// Close implements io.Closer.
func (*bodies) Close() error { return nil }

// add counts so many bytes more of an owner, or less, and reports whether that has no more than
// it may.
func (b *bodies) add(owner keys.Digest, more int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.of[owner] + more
	if n <= 0 {
		delete(b.of, owner)
	} else {
		b.of[owner] = n
	}
	return n <= maxSending
}

// Sending returns what is to be told how much memory the body of a request takes more, while its
// client sends it, and less in the end. It reports whether there is room for it; what there is
// none for counts, too, until it is told to be less.
func (p *route) Sending(r *policy.Request) func(more int64) bool {
	owner := p.call(r, "").Owner()
	return func(more int64) bool { return p.bodies.add(owner, more) }
}
