package keys

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/keptkey"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

// TestDamagedKeys: Traffic 90, 96: a call is not made again, and nothing is replayed, where Redis has something
// else of its key than was written there; Redis does not count as away for that, and an operator can
// release the key.
func TestDamagedKeys(t *testing.T) {
	for name, one := range map[string]struct {
		damage func(c *redis.Client, key, other string) error
		state  string // that operators see
	}{
		"no state": {func(c *redis.Client, key, _ string) error { return c.HDel(t.Context(), key, "state", "record").Err() }, keptkey.Unknown},
		"a state that is none": {func(c *redis.Client, key, _ string) error {
			return c.HSet(t.Context(), key, "state", "x", "record", "").Err()
		}, keptkey.Unknown},
		"a list": {func(c *redis.Client, key, _ string) error {
			return errors.Join(c.Del(t.Context(), key).Err(), c.LPush(t.Context(), key, "a").Err())
		}, keptkey.Unknown},
		"a text":         {func(c *redis.Client, key, _ string) error { return c.Set(t.Context(), key, "done", 0).Err() }, keptkey.Unknown},
		"no fingerprint": {func(c *redis.Client, key, _ string) error { return c.HDel(t.Context(), key, "fingerprint").Err() }, keptkey.Answered},
		"half a fingerprint": {func(c *redis.Client, key, _ string) error {
			return c.HSet(t.Context(), key, "fingerprint", "half").Err()
		}, keptkey.Answered},
		"a fingerprint of 10 MB": {func(c *redis.Client, key, _ string) error {
			return c.HSet(t.Context(), key, "fingerprint", strings.Repeat("x", 10<<20)).Err()
		}, keptkey.Answered},
		"a record of 100 MB": {func(c *redis.Client, key, _ string) error {
			return c.HSet(t.Context(), key, "record", strings.Repeat("x", 100<<20)).Err()
		}, keptkey.Answered},
		"no record": {func(c *redis.Client, key, _ string) error { return c.HDel(t.Context(), key, "record").Err() }, keptkey.Answered},
		"another caller's record": {func(c *redis.Client, key, other string) error {
			raw, err := c.HGet(t.Context(), other, "record").Result()
			return errors.Join(err, c.HSet(t.Context(), key, "record", raw).Err())
		}, keptkey.Answered},
		"a lost call without a fingerprint": {func(c *redis.Client, key, _ string) error {
			return errors.Join(c.HSet(t.Context(), key, "state", inRedisRunning, "until", "1").Err(), c.HDel(t.Context(), key, "fingerprint").Err())
		}, keptkey.Unknown},
	} {
		t.Run("Traffic 96: "+name, func(t *testing.T) {
			server := redistest.Start(t)
			answers, client := inRedis(t, server, "t:"), server.Client(t)
			c, other := keyed("key", "one", "request"), keyed("key of another", "other", "request")
			for _, c := range []*Call{c, other} {
				lease, _, err := answers.Begin(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				lease.End(&Record{State: Answered, Fingerprint: c.Fingerprint, Message: []byte("answer")}, time.Minute)
			}
			if err := one.damage(client, answers.key(c.ID), answers.key(other.ID)); err != nil {
				t.Fatal(err)
			}
			if lease, kept, err := answers.Begin(t.Context(), c); status.Code(err) != codes.Unavailable {
				t.Errorf("%v, %+v, %v", lease, kept, err)
			}
			if seen, kept := answers.look(t.Context(), c.ID); kept != nil && kept.Fingerprint != c.Fingerprint {
				t.Errorf("%v, %+v", seen, kept)
			}
			if n := answers.Health.Failures(); n > 0 {
				t.Errorf("Redis counts as away %d times", n)
			}
			id := fmt.Sprintf("%x", c.ID)
			if k, err := answers.LookUpKey(t.Context(), id); err != nil || k.State != one.state {
				t.Errorf("%+v, %v", k, err)
			}
			if list := all(t, answers, keptkey.Filter{}, 10); (len(list) == 1) != (one.state == keptkey.Unknown) {
				t.Errorf("%+v", list)
			}
			if k, err := answers.ReleaseKey(t.Context(), id, one.state != keptkey.Unknown); err != nil {
				t.Errorf("%+v, %v", k, err)
			}
			lease, kept, err := answers.Begin(t.Context(), c)
			if err != nil || lease == nil {
				t.Fatalf("after its release: %+v, %v", kept, err)
			}
			lease.End(nil, time.Minute)
		})
	}
}

// TestDamagedRecord: Traffic 96: a record that is cut, has a bit that is not what it was, or is under another key, is none.
func TestDamagedRecord(t *testing.T) {
	id := Digest{1}
	whole := (&Record{State: Answered, Fingerprint: Digest{2}, Status: &spb.Status{Code: 9, Message: "no"}, Header: grpcmetadata.Pairs("a", "b"), Message: []byte("whole")}).seal(id)
	if r, err := open(id, whole); err != nil || string(r.Message) != "whole" {
		t.Fatalf("%+v, %v", r, err)
	}
	for i := range whole {
		if r, err := open(id, whole[:i]); err == nil {
			t.Errorf("%d bytes of it are read: %+v", i, r)
		}
		for bit := range 8 {
			whole[i] ^= 1 << bit
			if r, err := open(id, whole); err == nil {
				t.Errorf("bit %d of byte %d is another, and it is read: %+v", bit, i, r)
			}
			whole[i] ^= 1 << bit
		}
	}
	if _, err := open(Digest{2}, whole); err == nil {
		t.Error("it is read under another key")
	}
}

// TestLargeNames: Traffic 96: names that somebody else has written keep no key from being listed, looked at and released.
func TestLargeNames(t *testing.T) {
	server := redistest.Start(t)
	answers, client := inRedis(t, server, "t:"), server.Client(t)
	for _, name := range []string{"one", "other"} {
		c := keyed(name, name, "request")
		lease, _, err := answers.Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		lease.End(&Record{State: Uncertain, Fingerprint: c.Fingerprint, Status: lostStatus}, time.Minute)
	}
	large := keyed("one", "one", "request")
	for _, field := range []string{"key", "principal", "rpc", "begun"} {
		if err := client.HSet(t.Context(), answers.key(large.ID), field, strings.Repeat("x", 10<<20)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if list := all(t, answers, keptkey.Filter{}, 10); len(list) != 2 {
		t.Errorf("%d keys are listed, want 2", len(list))
	}
	id := fmt.Sprintf("%x", large.ID)
	if k, err := answers.LookUpKey(t.Context(), id); err != nil || k.Key != "" || k.State != keptkey.Unknown {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := answers.ReleaseKey(t.Context(), id, false); err != nil {
		t.Error(err)
	}
}

// TestDamagedLeases: Traffic 93: a gateway that has died loses its key 15 s after somebody asks for it, whatever Redis has for the
// end of its lease, and also when Redis's clock was set back meanwhile.
func TestDamagedLeases(t *testing.T) {
	for _, until := range []string{"right", "nan", "inf", "9223372036854775807", "1e300", "set back"} {
		t.Run(until, func(t *testing.T) {
			server := redistest.StartWithClock(t, 0)
			answers, client := inRedis(t, server, "t:"), server.Client(t)
			c := keyed("key", "one", "request")
			dead, _, err := answers.Begin(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer dead.End(nil, time.Minute)
			values := []any{"token", "of a gateway that has died"}
			switch until {
			case "right":
			case "set back":
				server.Advance(-time.Hour)
			default:
				values = append(values, "until", until)
			}
			if err := client.HSet(t.Context(), answers.key(c.ID), values...).Err(); err != nil {
				t.Fatal(err)
			}
			for _, want := range []State{Running, Uncertain} {
				if lease, kept, err := answers.Begin(t.Context(), c); err != nil || lease != nil || kept.State != want {
					t.Errorf("%v, %+v, %v, want the state %d", lease, kept, err, want)
				}
				server.Advance(leaseTime + time.Second)
			}
		})
	}
}
