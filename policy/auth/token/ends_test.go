package token

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/token/revocation"
	"github.com/transom-gateway/transom/policy/store"
)

// TestTokensEnd: Semantics 308: a stream's credential ends at its end and at
// logout, whatever store knows of it and whatever that store's clock says.
func TestTokensEnd(t *testing.T) { policytest.EachClock(t, testTokensEnd) }

func testTokensEnd(t *testing.T, server *redistest.Server) {
	watch := auth.NewWatch(time.Now)
	t.Cleanup(func() { _ = watch.Close() })
	shared := &store.Redis{Client: server.Client(t), Timeout: 5 * time.Second, Prefix: "expiry:"}
	for name, store := range map[string]revocation.Store{
		"memory": revocation.NewMemory(time.Now), "Redis": revocation.NewShared(shared, time.Now),
	} {
		t.Run("a token, revoked in "+name, func(t *testing.T) {
			auth := &authenticator{issuers: &Issuers{revoked: &revocations{store: store, now: time.Now, used: true}}}
			follow := func(id string) (*Verified, <-chan error) {
				at, err := store.Moment(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				v := &Verified{issuer: &Issuer{issues: true}, until: time.Now().Add(time.Hour), issued: at,
					name: revocation.Name{Holder: sha256.Sum256([]byte(name + "holder")), Token: sha256.Sum256([]byte(id))}}
				return v, policytest.WatchedCredential(t, watch.Credential(auth.Ending(&policy.Request{Identity: &policy.Identity{Source: v}})))
			}
			one, ended := follow("one")
			other, goesOn := follow("other")
			if err := store.Revoke(t.Context(), one.name, one.until); err != nil {
				t.Fatal(err)
			}
			policytest.WantEnd(t, ended, "a logout")
			select {
			case err := <-goesOn:
				t.Errorf("another token ended with %v", err)
			default:
			}
			if err := store.RevokeAll(context.Background(), other.name.Holder, other.until); err != nil {
				t.Fatal(err)
			}
			policytest.WantEnd(t, goesOn, "a logout of all")
		})
	}
}

// TestKeepStreams: Semantics 308: with on_expiry: KEEP nothing watches, nor for a
// unary call.
func TestKeepStreams(t *testing.T) {
	b := policytest.SecretBench(t, nil, tokenKinds()...)
	for text, streams := range map[string]bool{`auth { jwt {} }`: true, `auth { jwt {} on_expiry: END }`: true, `auth { jwt {} on_expiry: KEEP }`: false} {
		for _, stream := range []bool{true, false} {
			set := policytest.MustCompile(t, b.Compiler, policy.Target{Layers: policytest.LayersOf(t, text)})
			r := policytest.WithToken(policytest.SecretToken(t, nil))
			r.Stream = stream
			if _, err := set.Admit(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if watched := r.Credential != nil; watched != (streams && stream) {
				t.Errorf("%s, a stream: %v: watched: %v", text, stream, watched)
			}
		}
	}
}
