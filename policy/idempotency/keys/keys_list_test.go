package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/keptkey"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

// named is a call under a key as operators see it.
func named(key, principal string) *Call {
	c := keyed(key, principal, "")
	c.About = About{Key: key, Principal: principal, RPC: "a.B/C"}
	return c
}

// operated is a Store with what operators do.
type operated interface {
	Store
	keptkey.Store
}

// all lists all pages.
func all(t *testing.T, s operated, f keptkey.Filter, limit int) (list []keptkey.Key) {
	t.Helper()
	after := ""
	for pages := 0; ; pages++ {
		page, next, err := s.ListKeys(t.Context(), f, after, limit)
		if err != nil || pages > 1000 {
			t.Fatal(err)
		}
		if list = append(list, page...); next == "" {
			return list
		}
		after = next
	}
}

// TestOperators: Traffic 90: operators list the keys in flight and those whose outcome nobody knows,
// look at each, and release them.
func TestOperators(t *testing.T) {
	for name, open := range map[string]func(*testing.T) (s operated, later func(time.Duration)){
		"memory": func(*testing.T) (operated, func(time.Duration)) {
			clock := policytest.NewClock()
			return newMemory(64<<20, clock), clock.Advance
		},
		"redis": func(t *testing.T) (operated, func(time.Duration)) {
			server := redistest.StartWithClock(t, 0)
			return inRedis(t, server, "t[*]:"), server.Advance
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, later := open(t)
			leases := map[string]Lease{}
			begin := func(key, principal string) *Record {
				lease, kept, err := s.Begin(t.Context(), named(key, principal))
				if err != nil {
					t.Fatal(err)
				}
				if lease != nil {
					leases[key] = lease
				}
				return kept
			}
			for i := range 30 {
				key := fmt.Sprint("key ", i)
				begin(key, fmt.Sprint("caller ", i%2))
				switch i % 3 {
				case 0:
					leases[key].End(&Record{State: Answered}, time.Hour)
				case 1:
					leases[key].End(&Record{State: Uncertain}, time.Hour)
				}
			}
			states := map[string]int{}
			for _, k := range all(t, s, keptkey.Filter{}, 7) {
				states[k.State]++
				if k.RPC != "a.B/C" || k.Principal == "" || k.Begun.IsZero() {
					t.Errorf("%+v", k)
				}
			}
			if states[keptkey.InFlight] != 10 || states[keptkey.Unknown] != 10 || len(states) != 2 {
				t.Errorf("%v", states)
			}
			if list := all(t, s, keptkey.Filter{Key: "key 1", Principal: "caller 1", RPC: "a.B/C"}, 100); len(list) != 1 {
				t.Errorf("%+v", list)
			}
			if list := all(t, s, keptkey.Filter{Key: "key 3"}, 100); len(list) != 1 || list[0].State != keptkey.Answered {
				t.Errorf("the key of a client, answered: %+v", list)
			}
			begin(`3f6c`, "caller 2")
			begin(`"quoted"`, "caller 2") // of a field
			for _, asked := range []string{`3f6c`, `"3f6c"`, ` "3f6c";a=1`, `"quoted"`} {
				if list := all(t, s, keptkey.Filter{Key: asked}, 100); len(list) != 1 || list[0].Key == "" {
					t.Errorf("%s, as a header may have it: %+v", asked, list)
				}
			}
			if list := all(t, s, keptkey.Filter{Key: `"3f6`}, 100); len(list) != 0 {
				t.Errorf("half a key: %+v", list)
			}
			leases[`3f6c`].End(nil, time.Hour)
			leases[`"quoted"`].End(nil, time.Hour)
			if list := all(t, s, keptkey.Filter{Principal: "caller 0"}, 100); len(list) != 10 {
				t.Errorf("%d of one caller", len(list))
			}
			idOf := func(key string) string {
				id := sha256.Sum256([]byte(key))
				return hex.EncodeToString(id[:])
			}
			if k, err := s.LookUpKey(t.Context(), idOf("key 3")); err != nil || k.State != keptkey.Answered || k.Key != "key 3" || k.Ends.IsZero() {
				t.Errorf("%+v, %v", k, err)
			}
			if k, err := s.LookUpKey(t.Context(), idOf("key 2")); err != nil || k.State != keptkey.InFlight || !k.Ends.IsZero() {
				t.Errorf("%+v, %v", k, err)
			}
			for _, id := range []string{"", "x", idOf("none"), idOf("key 3")[1:], "*"} {
				_, err := s.LookUpKey(t.Context(), id)
				_, again := s.ReleaseKey(t.Context(), id, true)
				if !errors.Is(err, keptkey.ErrNone) || !errors.Is(again, keptkey.ErrNone) {
					t.Errorf("%q: %v, %v", id, err, again)
				}
			}
			// An unknown outcome is released; the others by force alone.
			if k, err := s.ReleaseKey(t.Context(), idOf("key 1"), false); err != nil || k.State != keptkey.Unknown {
				t.Errorf("%+v, %v", k, err)
			}
			if kept := begin("key 1", "caller 1"); kept != nil {
				t.Errorf("a released key: %+v", kept)
			}
			for _, key := range []string{"key 2", "key 3"} {
				if k, err := s.ReleaseKey(t.Context(), idOf(key), false); !errors.Is(err, keptkey.ErrHeld) || k.Key != key {
					t.Errorf("%+v, %v", k, err)
				}
				if _, err := s.ReleaseKey(t.Context(), idOf(key), true); err != nil {
					t.Error(err)
				}
			}
			// A call whose key was released does not write over that of the next one.
			first := leases["key 2"]
			if kept := begin("key 2", "caller 0"); kept != nil {
				t.Errorf("%+v", kept)
			}
			first.End(&Record{State: Answered, Message: []byte("of the first")}, time.Hour)
			if kept := begin("key 2", "caller 0"); kept == nil || kept.State != Running {
				t.Errorf("%+v", kept)
			}
			leases["key 2"].End(&Record{State: Answered, Message: []byte("of the second")}, time.Hour)
			if kept := begin("key 2", "caller 0"); kept == nil || string(kept.Message) != "of the second" {
				t.Errorf("%+v", kept)
			}
			for _, key := range []string{"key 1", "key 5", "key 8", "key 11", "key 14", "key 17", "key 20", "key 23", "key 26", "key 29"} {
				leases[key].End(nil, time.Hour)
			}
			later(2 * time.Hour)
			if list := all(t, s, keptkey.Filter{}, 100); len(list) != 0 && name == "memory" {
				t.Errorf("what is over: %+v", list)
			}
		})
	}
}

// TestLostLeaseIsListed: Traffic 90, 93: the key of a gateway that died is one of an unknown
// outcome.
func TestLostLeaseIsListed(t *testing.T) {
	server := redistest.StartWithClock(t, 0)
	s := inRedis(t, server, "t:")
	lease, _, err := s.Begin(t.Context(), named("key", "ada"))
	if err != nil {
		t.Fatal(err)
	}
	dead, ok := lease.(*redisLease)
	if !ok {
		t.Fatal("no lease of Redis")
	}
	close(dead.stop) // it dies: nobody renews
	dead.stopped.Wait()
	server.Advance(leaseTime + time.Second)
	list := all(t, s, keptkey.Filter{}, 10)
	if len(list) != 1 || list[0].State != keptkey.Unknown {
		t.Fatalf("%+v", list)
	}
	if _, err := s.ReleaseKey(t.Context(), list[0].ID, false); err != nil {
		t.Fatal(err)
	}
	if lease, kept, err := s.Begin(t.Context(), named("key", "ada")); err != nil || lease == nil {
		t.Errorf("%+v, %v", kept, err)
	} else {
		lease.End(nil, time.Minute)
	}
}

// TestWhyKeysAreNotShown: an operator is told what a person can act on.
func TestWhyKeysAreNotShown(t *testing.T) {
	s := inRedis(t, redistest.Start(t), "t:")
	s.Timeout = 1
	const want = "the store of idempotency keys cannot be used: no answer within stores.redis.timeout, 1ns"
	id := strings.Repeat("0", 64)
	_, _, listed := s.ListKeys(t.Context(), keptkey.Filter{}, "", 10)
	_, shown := s.LookUpKey(t.Context(), id)
	_, released := s.ReleaseKey(t.Context(), id, true)
	for what, err := range map[string]error{"list": listed, "show": shown, "release": released} {
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
}
