package session

import (
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/store"
)

// TestSessionsEnd: Semantics 308: a stream's credential ends at its end and at
// logout, whatever store knows of it and whatever that store's clock says.
func TestSessionsEnd(t *testing.T) { policytest.EachClock(t, testSessionsEnd) }

func testSessionsEnd(t *testing.T, server *redistest.Server) {
	watch := auth.NewWatch(time.Now)
	t.Cleanup(func() { _ = watch.Close() })
	shared := &store.Redis{Client: server.Client(t), Timeout: 5 * time.Second, Prefix: "expiry:"}
	for name, store := range map[string]Store{
		"memory": newMemorySessions(time.Now), "Redis": &redisSessions{redis: shared, now: time.Now},
	} {
		t.Run("a session in "+name, func(t *testing.T) {
			open := func(idle time.Duration) Key {
				_, key := newID()
				s := &Session{Principal: "ada", Ends: time.Now().Add(time.Hour)}
				s.prepare()
				if err := store.create(t.Context(), key, s, idle); err != nil {
					t.Fatal(err)
				}
				return key
			}
			short, out, live := open(300*time.Millisecond), open(time.Hour), open(time.Hour)
			follow := func(key Key) <-chan error {
				return policytest.WatchedCredential(t, watch.Credential(auth.Ending{Store: sessionEndings{store}, Key: key}))
			}
			idle, loggedOut, goesOn := follow(short), follow(out), follow(live)
			if err := store.Revoke(t.Context(), out); err != nil {
				t.Fatal(err)
			}
			policytest.WantEnd(t, loggedOut, "a logout")
			policytest.WantEnd(t, idle, "a session that is not used")
			select {
			case err := <-goesOn:
				t.Errorf("a live session ended with %v", err)
			default:
			}
		})
	}
}
