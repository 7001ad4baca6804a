package idempotency

import (
	"context"
	"time"
)

// answers keeps what is known of keys.
type answers interface {
	// begin takes a key for a call; else it returns what is known of it. The error is a
	// gRPC status error.
	begin(ctx context.Context, c *call) (lease, *record, error)
	// wait returns when the call under a key may have ended, true, or ctx has.
	wait(ctx context.Context, id digest) bool
}

// lease is a key that a call has taken.
type lease interface {
	// end keeps a record for ttl; nil frees the key. It is called once, and never fails: the
	// client has its answer in any case.
	end(kept *record, ttl time.Duration)
}
