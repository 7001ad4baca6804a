package policy

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/redistest"
)

// TestSessionsEnd: Semantics 308: a stream's credential ends at its end and at
// logout, whatever store knows of it and whatever that store's clock says.
func TestSessionsEnd(t *testing.T) { eachClock(t, testSessionsEnd) }

func testSessionsEnd(t *testing.T, server *redistest.Server) {
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
}
