// Package revocation remembers the tokens that are over before their time: one by
// one, or all of a holder's until a moment. It knows names of tokens that nobody can use
// for one, and neither tokens nor who asks.
package revocation

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/store"
)

// Name is what a store knows of a token: who reads it there cannot use
// it.
type Name struct {
	// Holder stands for the issuer and the principal.
	Holder [sha256.Size]byte
	// Token stands for what was signed. It leaves out the signature, which may
	// have more than one spelling.
	Token [sha256.Size]byte
}

// Store remembers which tokens are over before their time. It is
// safe for concurrent use. Errors mean that the store cannot be reached, or is
// full.
type Store interface {
	// Revoke ends one token. It may be forgotten at until, when the token has
	// expired.
	Revoke(ctx context.Context, name Name, until time.Time) error
	// Moment is what the id of a token that is issued now says of its issue, by the
	// store's clock: gateways that share a store need not agree on the time.
	Moment(ctx context.Context) (time.Time, error)
	// RevokeAll ends a holder's tokens that were issued until now, by the store's clock.
	RevokeAll(ctx context.Context, holder [sha256.Size]byte, until time.Time) error
	// Revoked reports whether a token that was issued at that moment is over.
	Revoked(ctx context.Context, name Name, issued time.Time) (bool, error)
	// RevokedOf is Revoked for many tokens at once.
	RevokedOf(ctx context.Context, names []Name, issued []time.Time) ([]bool, error)
}

// HolderOf hashes who a token is about; the length keeps two names apart.
func HolderOf(issuer, principal string) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "holder:%d:%s:%s", len(issuer), issuer, principal))
}

// NameOf is a token's name in a store; signed is its header and payload.
func NameOf(issuer, principal, signed string) Name {
	return Name{HolderOf(issuer, principal), sha256.Sum256([]byte("token:" + signed))}
}

// memoryKey is the key of what was logged out at this process in State.
type memoryKey struct{}

// Open chooses where revoked tokens are remembered. Those of this process are held in
// either case, as a token must not come back by a slip in the configuration. A Redis that
// is not configured well is told of by others who use it, and is not used.
func Open(g *policy.Generation) (Store, error) {
	own, err := policy.Lease(g, memoryKey{}, func() (*Memory, error) { return NewMemory(g.State.Now), nil })
	if err != nil {
		return nil, err
	}
	if store.Configured(g) {
		if shared, err := store.Of(g); err == nil {
			return NewShared(shared, g.State.Now), nil
		}
	}
	return own, nil
}
