package ratelimit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// damages are what Redis may hold in place of a bucket, and how many of ten calls its caller then may make of a limit of 5.
var damages = map[string]struct {
	damage func(ctx context.Context, c *redis.Client, key string) error
	want   int
}{
	"text":           {set("damaged"), 5},
	"not a number":   {set("nan"), 5},
	"half a number":  {set("1e"), 5},
	"a small one":    {set("-9223372036854775808"), 5},
	"nothing":        {set(""), 5},
	"zeros":          {set(strings.Repeat("\x00", 1000)), 5},
	"10 MB":          {set(strings.Repeat("x", 10<<20)), 5},
	"a large number": {set("9223372036854775807"), 0},
	"infinity":       {set("inf"), 0},
	"a list": {func(ctx context.Context, c *redis.Client, key string) error {
		return errors.Join(c.Del(ctx, key).Err(), c.LPush(ctx, key, "a").Err())
	}, 5},
	"a hash": {func(ctx context.Context, c *redis.Client, key string) error {
		return errors.Join(c.Del(ctx, key).Err(), c.HSet(ctx, key, "a", "b").Err())
	}, 5},
}

func set(text string) func(context.Context, *redis.Client, string) error {
	return func(ctx context.Context, c *redis.Client, key string) error { return c.Set(ctx, key, text, 0).Err() }
}

// TestDamagedBuckets: whatever Redis holds in place of a bucket, without an end of its life: it is as if it were not there, or
// as if its caller had no token left, and then tokens come as ever. The caller's other limit, and Redis, are not concerned.
func TestDamagedBuckets(t *testing.T) {
	for what, one := range damages {
		t.Run(what, func(t *testing.T) {
			server := redistest.StartWithClock(t, 0)
			client := server.Client(t)
			var text bytes.Buffer
			b := policytest.NewBench(t, policy.StateOptions{Log: slog.New(slog.NewTextHandler(&text, nil))}, Early(), Late())
			b.Config = &transomv1.Config{Stores: &transomv1.Stores{Redis: &transomv1.RedisStore{Url: server.URL, Timeout: durationpb.New(10 * time.Second)}}}
			s := b.Set(`rate_limit { requests: 5 per { seconds: 3600 } on_unavailable: DENY }`)
			call := func() *policy.Request { return policytest.Request("192.0.2.1") }
			if n := policytest.CountAdmitted(s, 1, call); n != 1 {
				t.Fatal("the first call is refused")
			}
			keys, err := client.Keys(t.Context(), "*rate:*").Result()
			if err != nil || len(keys) != 1 {
				t.Fatal(keys, err)
			}
			if err := one.damage(t.Context(), client, keys[0]); err != nil {
				t.Fatal(err)
			}
			if n := policytest.CountAdmitted(s, 10, call); n != one.want {
				t.Errorf("%d of 10 calls are admitted, want %d", n, one.want)
			}
			if n := policytest.CountAdmitted(s, 10, func() *policy.Request { return policytest.Request("192.0.2.2") }); n != 5 {
				t.Errorf("of another caller %d, want 5", n)
			}
			if ttl := client.PTTL(t.Context(), keys[0]).Val(); ttl <= 0 || ttl > time.Hour {
				t.Errorf("it lives for %v", ttl)
			}
			server.Advance(time.Hour)
			if n := policytest.CountAdmitted(s, 10, call); n != 5 {
				t.Errorf("an hour later %d are admitted, want 5", n)
			}
			if away := b.State.AwayStores(); len(away) > 0 || strings.Contains(text.String(), "cannot be used") || strings.Count(text.String(), "\n") > 1 {
				t.Errorf("away: %q; the log says %s", away, text.String())
			}
			if one.want == 5 && what != "nothing" && what != "a small one" && !strings.Contains(text.String(), "something else than was written there") {
				t.Errorf("operators are not told: %s", text.String())
			}
		})
	}
}
