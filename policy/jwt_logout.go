package policy

import (
	"context"
	"errors"
	"slices"
	"time"
)

// canSign reports whether any issuer has a key to sign tokens with.
func (all *issuers) canSign() bool { return slices.ContainsFunc(all.list, (*tokenIssuer).canSign) }

// willRevoke notes that a method logs callers out: from there on tokens are looked up
// among those that are over.
func (all *issuers) willRevoke() { all.revoked.used = true }

// moment is when a token that is issued now was issued, as a logout of all will ask.
// The error is the store's.
func (all *issuers) moment(ctx context.Context) (time.Time, error) { return all.revoked.moment(ctx) }

// sent is the good token that a request has in its header, though its method asks
// for none; nil if there is none. The error is for the client.
func (all *issuers) sent(ctx context.Context, r *Request) (*verified, error) {
	t := &tokenAuth{accepted: all.list, issuers: all}
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

// revoke ends a token; nil, and one that no login issues, stays as it is. The error is
// the store's.
func (all *issuers) revoke(ctx context.Context, v *verified) error { return all.revoked.revoke(ctx, v) }

// revokeAll ends what all issuers have issued for a principal until now.
func (all *issuers) revokeAll(ctx context.Context, principal string) error {
	return all.revoked.revokeAll(ctx, all.list, principal)
}

// principal is whom the token is about.
func (v *verified) principal() string { return v.identity.Principal }
