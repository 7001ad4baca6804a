package policy

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/redistest"
)

// TestTokensEnd: Semantics 308: a stream's credential ends at its end and at
// logout, whatever store knows of it and whatever that store's clock says.
func TestTokensEnd(t *testing.T) { eachClock(t, testTokensEnd) }

func testTokensEnd(t *testing.T, server *redistest.Server) {
	watch := newCredentialWatch(time.Now)
	t.Cleanup(func() { _ = watch.Close() })
	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	shared := &redisStore{client: client, timeout: 5 * time.Second, prefix: "expiry:"}
	for name, store := range map[string]revocationStore{
		"memory": newMemoryRevocations(time.Now), "Redis": &redisRevocations{redis: shared, now: time.Now},
	} {
		t.Run("a token, revoked in "+name, func(t *testing.T) {
			auth := &tokenAuth{issuers: &issuers{revoked: &revocations{store: store, now: time.Now, used: true}}}
			follow := func(id string) (*verified, <-chan error) {
				at, err := store.moment(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				v := &verified{issuer: &tokenIssuer{issues: true}, until: time.Now().Add(time.Hour), issued: at,
					name: tokenName{sha256.Sum256([]byte(name + "holder")), sha256.Sum256([]byte(id))}}
				return v, watchedCredential(t, watch.credential(auth.ending(&Request{Identity: &Identity{Source: v}})))
			}
			one, ended := follow("one")
			other, goesOn := follow("other")
			if err := store.revoke(t.Context(), one.name, one.until); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, ended, "a logout")
			select {
			case err := <-goesOn:
				t.Errorf("another token ended with %v", err)
			default:
			}
			if err := store.revokeAll(context.Background(), other.name.holder, other.until); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, goesOn, "a logout of all")
		})
	}
}

// TestKeepStreams: Semantics 308: with on_expiry: KEEP nothing watches, nor for a
// unary call.
func TestKeepStreams(t *testing.T) {
	b := secretBench(t, nil, tokenKinds()...)
	for text, streams := range map[string]bool{`auth { jwt {} }`: true, `auth { jwt {} on_expiry: END }`: true, `auth { jwt {} on_expiry: KEEP }`: false} {
		for _, stream := range []bool{true, false} {
			set := mustCompile(t, b.Compiler, Target{Layers: layersOf(t, text)})
			r := withToken(secretToken(t, nil))
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
