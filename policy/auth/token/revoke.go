package token

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/store"
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

// tokenName is what a store knows of a token: who reads it there cannot use
// it.
type tokenName struct {
	// holder stands for the issuer and the principal.
	holder [sha256.Size]byte
	// token stands for what was signed. It leaves out the signature, which may
	// have more than one spelling.
	token [sha256.Size]byte
}

// revocationStore remembers which tokens are over before their time. It is
// safe for concurrent use. Errors mean that the store cannot be reached, or is
// full.
type revocationStore interface {
	// revoke ends one token. It may be forgotten at until, when the token has
	// expired.
	revoke(ctx context.Context, name tokenName, until time.Time) error
	// moment is what the id of a token that is issued now says of its issue, by the
	// store's clock: gateways that share a store need not agree on the time.
	moment(ctx context.Context) (time.Time, error)
	// RevokeAll ends a holder's tokens that were issued until now, by the store's clock.
	revokeAll(ctx context.Context, holder [sha256.Size]byte, until time.Time) error
	// revoked reports whether a token that was issued at that moment is over.
	revoked(ctx context.Context, name tokenName, issued time.Time) (bool, error)
	// revokedOf is revoked for many tokens at once.
	revokedOf(ctx context.Context, names []tokenName, issued []time.Time) ([]bool, error)
}

// revocations are the tokens that logout has ended. Only tokens of issuers that
// login issues from can be ended, and only where a method has logout: others
// are not looked up.
type revocations struct {
	store revocationStore
	cache *cache
	now   func() time.Time
	// used tells that a method has logout.
	used bool
}

// The values of verified.checked besides the moment of the last look, in
// nanoseconds.
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
	last := v.checked.Load()
	switch {
	case last == knownRevoked:
		return errTokenRevoked
	case last == neverChecked: // nothing is known: all who call now ask
	case now.UnixNano()-last < int64(revocationFresh) || !v.checked.CompareAndSwap(last, now.UnixNano()):
		return nil
	}
	over, err := r.store.revoked(ctx, v.name, v.issued)
	if err != nil {
		v.checked.CompareAndSwap(now.UnixNano(), neverChecked)
		return errors.Join(errRevocationsAway, err)
	}
	if over {
		r.forget(v)
		return errTokenRevoked
	}
	v.checked.CompareAndSwap(neverChecked, now.UnixNano())
	return nil
}

// revoke ends a token; one that is not ours stays as it is.
func (r *revocations) revoke(ctx context.Context, v *Verified) error {
	if v == nil || !v.issuer.issues {
		return nil
	}
	if err := r.store.revoke(ctx, v.name, v.until); err != nil {
		return err
	}
	r.forget(v)
	return nil
}

// RevokeAll ends what these issuers have issued for a principal until now.
func (r *revocations) revokeAll(ctx context.Context, issuers []*Issuer, principal string) error {
	now := r.now()
	for _, i := range issuers {
		if !i.issues {
			continue
		}
		until := now.Add(max(revokedAllKept, i.longest+i.leeway))
		if err := r.store.revokeAll(ctx, holderOf(i.Name, principal), until); err != nil {
			return err
		}
	}
	r.cache.recheck(principal)
	return nil
}

// moment is when a token that is issued now was issued, as RevokeAll will ask.
func (r *revocations) moment(ctx context.Context) (time.Time, error) {
	if !r.used {
		return r.now(), nil
	}
	return r.store.moment(ctx)
}

// forget takes a token out of the cache and marks it for the calls that hold
// it.
func (r *revocations) forget(v *Verified) {
	v.checked.Store(knownRevoked)
	r.cache.drop(v.token)
}

// holderOf hashes who a token is about; the length keeps two names apart.
func holderOf(issuer, principal string) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "holder:%d:%s:%s", len(issuer), issuer, principal))
}

// nameOf is a token's name in a store; signed is its header and payload.
func nameOf(issuer, principal, signed string) tokenName {
	return tokenName{holderOf(issuer, principal), sha256.Sum256([]byte("token:" + signed))}
}

// issuedAt is when a token was issued; with no id of newTokenID the beginning
// of the second, without `iat` the beginning of time.
func issuedAt(claims jwt.MapClaims) time.Time {
	iat, err := claims.GetIssuedAt()
	if err != nil || iat == nil {
		return time.Time{}
	}
	jti, _ := claims["jti"].(string)
	id, err := base64.RawURLEncoding.DecodeString(jti)
	if err != nil || len(id) != tokenIDBytes {
		return iat.Time
	}
	sum := sha256.Sum256(id[:tokenIDSum])
	if !bytes.Equal(id[tokenIDSum:], sum[:tokenIDBytes-tokenIDSum]) {
		return iat.Time // somebody else's id
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(id)))
}

// memoryRevocationsKey is the key of what was logged out at this process in State.
type memoryRevocationsKey struct{}

// openRevocations chooses where revoked tokens are remembered. Those of this process
// are held in either case, as a token must not come back by a slip in the
// configuration. The problems of Redis are told by the sessions.
func openRevocations(g *policy.Generation, cache *cache) (*revocations, error) {
	memory, err := policy.Lease(g, memoryRevocationsKey{}, func() (*memoryRevocations, error) { return newMemoryRevocations(g.State.Now), nil })
	if err != nil {
		return nil, err
	}
	r := &revocations{cache: cache, now: g.State.Now, store: memory}
	if store.Configured(g) {
		if shared, err := store.Of(g); err == nil {
			r.store = &redisRevocations{redis: shared, now: g.State.Now}
		}
	}
	return r, nil
}

// tokenEndings asks a store which tokens have been logged out.
type tokenEndings struct{ revocationStore }

var _ auth.EndingStore = tokenEndings{}

// EndedOf implements endingStore.
func (e tokenEndings) EndedOf(ctx context.Context, keys []any) ([]bool, error) {
	names, issued := make([]tokenName, len(keys)), make([]time.Time, len(keys))
	for i, key := range keys {
		if v, ok := key.(*Verified); ok {
			names[i], issued[i] = v.name, v.issued
		}
	}
	return e.revokedOf(ctx, names, issued)
}
