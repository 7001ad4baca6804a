package token

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/testing/clocktest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth/token/revocation"
)

// askedStore counts how often it is asked.
type askedStore struct {
	revocation.Store
	asked int
}

func (s *askedStore) Revoked(context.Context, revocation.Name, time.Time) (bool, error) {
	s.asked++
	return false, nil
}

// TestClockStepsAndRevokedTokens: whether a token was logged out elsewhere is asked once a second, also when somebody has set
// the gateway's clock.
func TestClockStepsAndRevokedTokens(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 366 * 24 * time.Hour, -366 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			clock, store := clocktest.New(), &askedStore{}
			state := policy.NewState(policy.StateOptions{Now: clock.Now})
			defer func() { _ = state.Close() }()
			r := &revocations{store: store, now: clock.Now, elapsed: state.Elapsed, used: true}
			v := &Verified{issuer: &Issuer{issues: true}}
			for i := range 3 {
				for range 2 { // the second one goes by what the first has heard
					if err := r.check(t.Context(), v, clock.Now()); err != nil || store.asked != i+1 {
						t.Errorf("%v, second %d: asked %d times, %v", by, i, store.asked, err)
					}
					clock.Step(by)
				}
				time.Sleep(revocationFresh)
			}
		})
	}
}
