package revocation

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis has no other sum
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/policy/store"
)

// Shared remembers revoked tokens in Redis, for all gateways. Each is
// a key that expires when its token has. What stands under the name of a token says that it is over, whatever that is.
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
// hold, and a checksum: KEYS[1] the holder, ARGV[1] for how many milliseconds.
var revokeUntilNow = redis.NewScript(store.ServerNow + `
local at = string.format('%.0f', now) .. '000'
return redis.call('SET', KEYS[1], at .. ':' .. redis.sha1hex(KEYS[1] .. ':' .. at), 'PX', ARGV[1])`)

// RevokeAll implements Store.
func (r *Shared) RevokeAll(ctx context.Context, holder [sha256.Size]byte, until time.Time) error {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	return revokeUntilNow.Run(ctx, r.redis.Client, []string{r.holderKey(holder)}, r.lasts(until).Milliseconds()).Err()
}

// errDamaged is the error of what is no moment until which a holder's tokens are over.
var errDamaged = errors.New("found no moment of a logout in the store")

// Revoked implements Store.
func (r *Shared) Revoked(ctx context.Context, name Name, issued time.Time) (bool, error) {
	over, damaged, err := r.look(ctx, []Name{name}, []time.Time{issued})
	switch {
	case err != nil:
		return false, err
	case damaged != nil && !over[0]:
		return false, damaged
	}
	return over[0], nil
}

// RevokedOf implements Store. What nobody can tell of one token does not keep the others from being told.
func (r *Shared) RevokedOf(ctx context.Context, names []Name, issued []time.Time) ([]bool, error) {
	over, _, err := r.look(ctx, names, issued)
	return over, err
}

// look asks of tokens whether they are over. damaged is why nobody can tell that of some.
func (r *Shared) look(ctx context.Context, names []Name, issued []time.Time) (over []bool, damaged, err error) {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	p := r.redis.Client.Pipeline()
	tokens, holders := make([]*redis.IntCmd, len(names)), make([]*redis.StringCmd, len(names))
	for i, name := range names {
		tokens[i] = p.Exists(ctx, r.tokenKey(name))
		holders[i] = p.GetRange(ctx, r.holderKey(name.Holder), 0, mostMoment)
	}
	_, _ = p.Exec(ctx) // each has its own error
	over = make([]bool, len(names))
	for i, name := range names {
		there, err := tokens[i].Result()
		if err != nil {
			return nil, nil, err
		}
		over[i], err = isOver(r.holderKey(name.Holder), holders[i], issued[i])
		switch over[i] = over[i] || there > 0; {
		case errors.Is(err, errDamaged):
			damaged = err
			r.redis.Damaged("nobody can tell which tokens of a holder were logged out, and calls with them are refused", "key", r.holderKey(name.Holder))
		case err != nil:
			return nil, nil, err
		}
	}
	return over, damaged, nil
}

// mostMoment is above the length of what revokeUntilNow writes.
const mostMoment = 99

// isOver reads what revokeUntilNow has written, if it has.
func isOver(key string, found *redis.StringCmd, issued time.Time) (bool, error) {
	text, err := found.Result()
	switch {
	case store.IsDamage(err):
		return false, errDamaged
	case err != nil, text == "":
		return false, err
	}
	number, sum, _ := strings.Cut(text, ":")
	own := sha1.Sum([]byte(key + ":" + number)) //nolint:gosec // against damage
	at, err := strconv.ParseInt(number, 10, 64)
	if err != nil || hex.EncodeToString(own[:]) != sum {
		return false, errDamaged
	}
	return !issued.After(time.Unix(0, at)), nil
}
