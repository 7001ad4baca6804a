package policy

import "context"

// fresh is for how long a gateway goes by what the store said of a token.
const fresh = revocationFresh

// good reports whether a token of any issuer is good.
func (all *issuers) good(ctx context.Context, raw string) error {
	_, err := (&tokenAuth{accepted: all.list, issuers: all}).check(ctx, raw)
	return err
}
