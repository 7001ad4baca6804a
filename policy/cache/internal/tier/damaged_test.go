package tier

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy/store"
)

// patience is enough for a busy machine.
const patience = 30 * time.Second

// deaf hears nothing.
type deaf struct{}

func (deaf) Dropped([]Digest, bool) {}
func (deaf) Missed()                {}

// newTier is a gateway's view of a Redis.
func newTier(t *testing.T, r *redistest.Server) *Tier {
	tier := New(Options{
		Redis: &store.Redis{Client: r.Client(t), Timeout: 10 * time.Second, Prefix: "p:", Health: store.NewHealth(time.Now, func() bool { return true })},
		Now:   time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Listener: deaf{},
	})
	t.Cleanup(func() { _ = tier.Close() })
	return tier
}

// keep has an answer written that names one more thing which it is about, and reports whether
// another gateway reads it.
func keep(t *testing.T, writer, reader *Tier, key Key, about ...Digest) bool {
	t.Helper()
	return poll.Within(patience, func() bool {
		stamps, _, err := writer.Find(t.Context(), key, about[:1], true)
		if err != nil {
			return false
		}
		writer.Keep(&Item{Key: key, Stamps: stamps, More: about, Lost: func() {}, Record: &Record{Message: []byte("whole"), Fresh: time.Hour}})
		_, r, _ := reader.Find(t.Context(), key, about[:1], true)
		return r != nil && string(r.Message) == "whole"
	})
}

// damages are what Redis may hold in place of what was written there.
var damages = map[string]func(ctx context.Context, c *redis.Client, key string) error{
	"another value": func(ctx context.Context, c *redis.Client, key string) error {
		return c.Set(ctx, key, "damaged", 0).Err()
	},
	"an empty value": func(ctx context.Context, c *redis.Client, key string) error { return c.Set(ctx, key, "", 0).Err() },
	"another type": func(ctx context.Context, c *redis.Client, key string) error {
		_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { // a write that is under way may come in between
			p.Del(ctx, key)
			return p.LPush(ctx, key, "a").Err()
		})
		return err
	},
	"a long value": func(ctx context.Context, c *redis.Client, key string) error {
		return c.SetRange(ctx, key, 4<<20, "a").Err()
	},
	"a number below zero": func(ctx context.Context, c *redis.Client, key string) error {
		return c.Set(ctx, key, "-99999999999999999999999", 0).Err()
	},
	"a number without end": func(ctx context.Context, c *redis.Client, key string) error { return c.Set(ctx, key, "inf", 0).Err() },
}

// TestDamagedRedis: Traffic 129: whatever Redis holds in place of what was written there, a
// read is a miss, Redis does not count as away for that, and what is damaged is written anew.
func TestDamagedRedis(t *testing.T) {
	for what, damage := range damages {
		for _, keys := range []string{"p:cache:*", "p:cache-generation:*", "p:cache-drops"} {
			t.Run("Traffic 129: "+what+" of "+keys, func(t *testing.T) {
				r := redistest.Start(t)
				client := r.Client(t)
				one, other := newTier(t, r), newTier(t, r)
				key, about := Key{1}, []Digest{Tag("a"), Tag("b")}
				one.Drop(about, false, func() int { return 0 })
				if !keep(t, one, other, key, about...) {
					t.Fatal("nothing is kept")
				}
				for _, name := range client.Keys(t.Context(), keys).Val() {
					if err := damage(t.Context(), client, name); err != nil {
						t.Fatal(err)
					}
				}
				if _, found, err := other.Find(t.Context(), key, about[:1], true); err != nil && err != ErrAway || found != nil && string(found.Message) != "whole" {
					t.Errorf("read %+v, %v", found, err)
				}
				if !keep(t, one, other, key, about...) {
					t.Error("nothing is kept any more")
				}
				one.Drop(about[1:], false, func() int { return 0 })
				if _, found, err := other.Find(t.Context(), key, about[:1], true); found != nil || err != nil {
					t.Errorf("after it was dropped: %+v, %v", found, err)
				}
				for _, tier := range []*Tier{one, other} {
					if n := tier.redis.Health.Failures(); n > 0 {
						t.Errorf("Redis counts as away %d times", n)
					}
				}
			})
		}
	}
}

// TestDamagedRecord: Traffic 129: a record with a bit that is not what it was is none, nor is
// one under the key of another answer.
func TestDamagedRecord(t *testing.T) {
	key := Key{1}
	whole := sample().marshal(key)
	for i := range whole {
		for bit := range 8 {
			whole[i] ^= 1 << bit
			if r, err := unmarshal(key, whole); err == nil {
				t.Errorf("bit %d of byte %d is another, and it is read: %+v", bit, i, r)
			}
			whole[i] ^= 1 << bit
		}
	}
	if _, err := unmarshal(Key{2}, whole); err == nil {
		t.Error("it is read under another key")
	}
}
