package revocation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/policy/store"
)

// Shared remembers revoked tokens in Redis, for all gateways. Each is
// a key that expires when its token has; a holder's keys share a hash tag, so
// that one MGET reads both, in a cluster too.
type Shared struct {
	redis *store.Redis
	now   func() time.Time
}

var _ Store = (*Shared)(nil)

// NewShared keeps them in a store.
func NewShared(redis *store.Redis, now func() time.Time) *Shared {
	return &Shared{redis: redis, now: now}
}

// holderKey has half of the hash, which is enough for nobody to find a second
// one.
func (r *Shared) holderKey(holder [sha256.Size]byte) string {
	return r.redis.Prefix + "revoked:{" + hex.EncodeToString(holder[:sha256.Size/2]) + "}"
}

func (r *Shared) tokenKey(name Name) string {
	return r.holderKey(name.Holder) + ":" + hex.EncodeToString(name.Token[:])
}

// Revoke implements Store.
func (r *Shared) Revoke(ctx context.Context, name Name, until time.Time) error {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	return r.redis.Client.Set(ctx, r.tokenKey(name), "", r.lasts(until)).Err()
}

// lasts is how long the server is to keep what is over at a moment of our clock.
func (r *Shared) lasts(until time.Time) time.Duration {
	return max(until.Sub(r.now()), time.Millisecond)
}

// Moment implements Store.
func (r *Shared) Moment(ctx context.Context) (time.Time, error) {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	return r.redis.Client.Time(ctx).Result()
}

// revokeUntilNow writes the server's time in nanoseconds, which a double does not
// hold: KEYS[1] the holder, ARGV[1] for how many milliseconds.
var revokeUntilNow = redis.NewScript(store.ServerNow + `
return redis.call('SET', KEYS[1], string.format('%.0f', now) .. '000', 'PX', ARGV[1])`)

// RevokeAll implements Store.
func (r *Shared) RevokeAll(ctx context.Context, holder [sha256.Size]byte, until time.Time) error {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	return revokeUntilNow.Run(ctx, r.redis.Client, []string{r.holderKey(holder)}, r.lasts(until).Milliseconds()).Err()
}

// Revoked implements Store.
func (r *Shared) Revoked(ctx context.Context, name Name, issued time.Time) (bool, error) {
	over, err := r.RevokedOf(ctx, []Name{name}, []time.Time{issued})
	if err != nil {
		return false, err
	}
	return over[0], nil
}

// RevokedOf implements Store.
func (r *Shared) RevokedOf(ctx context.Context, names []Name, issued []time.Time) ([]bool, error) {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	found, err := r.redis.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, name := range names {
			p.MGet(ctx, r.tokenKey(name), r.holderKey(name.Holder))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	over := make([]bool, len(names))
	for i, answer := range found {
		if over[i], err = isRevoked(answer.(*redis.SliceCmd).Val(), issued[i]); err != nil {
			return nil, err
		}
	}
	return over, nil
}

// isRevoked reads what the store has of a token and of its holder.
func isRevoked(found []any, issued time.Time) (bool, error) {
	if len(found) != 2 {
		return false, fmt.Errorf("found %d values in the store's answer, expected 2", len(found))
	}
	if found[0] != nil {
		return true, nil
	}
	text, over := found[1].(string)
	if !over {
		return false, nil
	}
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return false, fmt.Errorf("found %q in the store, expected nanoseconds", text)
	}
	return !issued.After(time.Unix(0, at)), nil
}
