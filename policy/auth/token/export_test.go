package token

import "context"

// Fresh is for how long a gateway goes by what the store said of a token.
const Fresh = revocationFresh

// Good reports whether a token of any issuer is good.
func (all *Issuers) Good(ctx context.Context, raw string) error {
	_, err := (&authenticator{accepted: all.list, issuers: all}).check(ctx, raw)
	return err
}
