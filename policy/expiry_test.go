package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/redistest"
)

// watchedCredential watches a credential and returns the channel that is told of its end.
func watchedCredential(t *testing.T, c Credential) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	t.Cleanup(c.Watch(func(err error) { ended <- err }))
	return ended
}

func wantEnd(t *testing.T, ended <-chan error, what string) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrExpired) {
			t.Errorf("%s: it ended with %v", what, err)
		}
	case <-time.After(time.Minute):
		t.Errorf("%s: it did not end", what)
	}
}

// TestCredentialsEnd: Semantics 308: a stream's credential ends at its end and at
// logout, whatever store knows of it and whatever that store's clock says.
func TestCredentialsEnd(t *testing.T) { eachClock(t, testCredentialsEnd) }

func testCredentialsEnd(t *testing.T, server *redistest.Server) {
	watch := newCredentialWatch(time.Now)
	t.Cleanup(func() { _ = watch.Close() })
	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	shared := &redisStore{client: client, timeout: 5 * time.Second, prefix: "expiry:"}
	for name, store := range map[string]sessionStore{
		"memory": newMemorySessions(time.Now), "Redis": &redisSessions{redis: shared, now: time.Now},
	} {
		t.Run("a session in "+name, func(t *testing.T) {
			open := func(idle time.Duration) sessionKey {
				_, key := newSessionID()
				s := &session{Principal: "ada", Ends: time.Now().Add(time.Hour)}
				s.prepare()
				if err := store.create(t.Context(), key, s, idle); err != nil {
					t.Fatal(err)
				}
				return key
			}
			short, out, live := open(300*time.Millisecond), open(time.Hour), open(time.Hour)
			follow := func(key sessionKey) <-chan error {
				return watchedCredential(t, watch.credential(ending{store: sessionEndings{store}, key: key}))
			}
			idle, loggedOut, goesOn := follow(short), follow(out), follow(live)
			if err := store.revoke(t.Context(), out); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, loggedOut, "a logout")
			wantEnd(t, idle, "a session that is not used")
			select {
			case err := <-goesOn:
				t.Errorf("a live session ended with %v", err)
			default:
			}
		})
	}
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
	b := secretBench(t, nil)
	for policy, streams := range map[string]bool{`auth { jwt {} }`: true, `auth { jwt {} on_expiry: END }`: true, `auth { jwt {} on_expiry: KEEP }`: false} {
		for _, stream := range []bool{true, false} {
			set := mustCompile(t, b.Compiler, Target{Layers: layersOf(t, policy)})
			r := withToken(secretToken(t, nil))
			r.Stream = stream
			if _, err := set.Admit(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if watched := r.Credential != nil; watched != (streams && stream) {
				t.Errorf("%s, a stream: %v: watched: %v", policy, stream, watched)
			}
		}
	}
}
