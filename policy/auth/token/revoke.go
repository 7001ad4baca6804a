package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/token/revocation"
)

const (
	// revocationFresh is for how long a gateway goes by what the store said of a
	// token. A token ends everywhere that long after its logout, and at once at the
	// gateway that the logout went through.
	revocationFresh = time.Second
	// revokedAllKept is how long "all tokens of this principal" is remembered at
	// least: the tokens that it is about may have been issued with an older, longer
	// ttl.
	revokedAllKept = 24 * time.Hour
)

var (
	errTokenRevoked = fmt.Errorf("%w: it was logged out", errToken)
	// errRevocationsAway is a token of which nobody can say whether it was logged
	// out: to let it in would be a guess.
	errRevocationsAway = errors.New("the store of revoked tokens cannot be reached")
)

// revocations are the tokens that logout has ended. Only tokens of issuers that
// login issues from can be ended, and only where a method has logout: others
// are not looked up.
type revocations struct {
	store revocation.Store
	cache *cache
	now   func() time.Time
	// elapsed is that of the State, which the cache is of.
	elapsed func(time.Time) time.Duration
	// used tells that a method has logout.
	used bool
}

// The values of verified.checked besides the moment of the last look, in
// nanoseconds since the State began.
const (
	neverChecked = 0
	knownRevoked = -1
)

// check refuses a token that was logged out. The store is asked once for each
// token and revocationFresh. The token must be in the cache already: a logout
// at the same time then finds it either there or is found here.
func (r *revocations) check(ctx context.Context, v *Verified, now time.Time) error {
	if !r.used || !v.issuer.issues {
		return nil
	}
	last, at := v.checked.Load(), neverChecked+1+int64(r.elapsed(now))
	switch {
	case last == knownRevoked:
		return errTokenRevoked
	case last == neverChecked: // nothing is known: all who call now ask
	case at-last < int64(revocationFresh) || !v.checked.CompareAndSwap(last, at):
		return nil
	}
	over, err := r.store.Revoked(ctx, v.name, v.issued)
	if err != nil {
		v.checked.CompareAndSwap(at, neverChecked)
		return errors.Join(errRevocationsAway, err)
	}
	if over {
		r.forget(v)
		return errTokenRevoked
	}
	v.checked.CompareAndSwap(neverChecked, at)
	return nil
}

// revoke ends a token; one that is not ours stays as it is.
func (r *revocations) revoke(ctx context.Context, v *Verified) error {
	if v == nil || !v.issuer.issues {
		return nil
	}
	if err := r.store.Revoke(ctx, v.name, v.until); err != nil {
		return err
	}
	r.forget(v)
	return nil
}

// revokeAll ends what these issuers have issued for a principal until now.
func (r *revocations) revokeAll(ctx context.Context, issuers []*Issuer, principal string) error {
	now := r.now()
	for _, i := range issuers {
		if !i.issues {
			continue
		}
		until := now.Add(max(revokedAllKept, i.longest+i.leeway))
		if err := r.store.RevokeAll(ctx, revocation.HolderOf(i.Name, principal), until); err != nil {
			return err
		}
	}
	r.cache.recheck(principal)
	return nil
}

// moment is when a token that is issued now was issued, as revokeAll will ask.
func (r *revocations) moment(ctx context.Context) (time.Time, error) {
	if !r.used {
		return r.now(), nil
	}
	return r.store.Moment(ctx)
}

// forget takes a token out of the cache and marks it for the calls that hold
// it.
func (r *revocations) forget(v *Verified) {
	v.checked.Store(knownRevoked)
	r.cache.drop(v.token)
}

// openRevocations opens the store of a generation. The problems of Redis are told by
// the sessions.
func openRevocations(g *policy.Generation, cache *cache) (*revocations, error) {
	store, err := revocation.Open(g)
	return &revocations{cache: cache, now: g.State.Now, elapsed: g.State.Elapsed, store: store}, err
}

// tokenEndings asks a store which tokens have been logged out.
type tokenEndings struct{ revocation.Store }

var _ auth.EndingStore = tokenEndings{}

// EndedOf implements auth.EndingStore.
func (e tokenEndings) EndedOf(ctx context.Context, keys []any) ([]bool, error) {
	names, issued := make([]revocation.Name, len(keys)), make([]time.Time, len(keys))
	for i, key := range keys {
		if v, ok := key.(*Verified); ok {
			names[i], issued[i] = v.name, v.issued
		}
	}
	return e.RevokedOf(ctx, names, issued)
}
