package token

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/transom-gateway/transom/policy"
)

// CanSign reports whether any issuer has a key to sign tokens with.
func (all *Issuers) CanSign() bool { return slices.ContainsFunc(all.list, (*Issuer).CanSign) }

// WillRevoke notes that a method logs callers out: from there on tokens are looked up
// among those that are over.
func (all *Issuers) WillRevoke() { all.revoked.used = true }

// Moment is when a token that is issued now was issued, as a logout of all will ask.
// The error is the store's.
func (all *Issuers) Moment(ctx context.Context) (time.Time, error) { return all.revoked.moment(ctx) }

// Sent is the good token that a request has in its header, though its method asks
// for none; nil if there is none. The error is for the client.
func (all *Issuers) Sent(ctx context.Context, r *policy.Request) (*Verified, error) {
	t := &authenticator{accepted: all.list, issuers: all}
	raw, from := t.find(r)
	if from == nowhere {
		return nil, nil
	}
	v, err := t.check(ctx, raw)
	if errors.Is(err, errKeysAway) || errors.Is(err, errRevocationsAway) {
		return nil, unavailable(err)
	}
	return v, nil
}

// Revoke ends a token; nil, and one that no login issues, stays as it is. The error is
// the store's.
func (all *Issuers) Revoke(ctx context.Context, v *Verified) error { return all.revoked.revoke(ctx, v) }

// RevokeAll ends what all issuers have issued for a principal until now.
func (all *Issuers) RevokeAll(ctx context.Context, principal string) error {
	return all.revoked.revokeAll(ctx, all.list, principal)
}

// Principal is whom the token is about.
func (v *Verified) Principal() string { return v.identity.Principal }
