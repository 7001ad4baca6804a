package redistest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/testing/redis"
)

func TestRedisKeepsDataOverRestart(t *testing.T) {
	server := redistest.Start(t)
	client, ctx := server.Client(t), context.Background()
	if err := client.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := client.Get(ctx, "k").Err(); err == nil {
		t.Error("a killed server answered")
	}
	server.Restart()
	if got, err := client.Get(ctx, "k").Result(); err != nil || got != "v" {
		t.Errorf("after the restart: %q, %v, want the value written before", got, err)
	}
}

// TestClock: TIME, and with it the end of keys, follow the clock that a test
// sets; a restart does not set it back.
func TestClock(t *testing.T) {
	for name, off := range redistest.Clocks {
		t.Run(name, func(t *testing.T) {
			server := redistest.StartWithClock(t, off)
			client, ctx := server.Client(t), context.Background()
			shows := func(want time.Duration) {
				t.Helper()
				before := time.Now().Truncate(time.Microsecond)
				at, err := client.Time(ctx).Result()
				if err != nil {
					t.Fatal(err)
				}
				if at.Before(before.Add(want)) || at.After(time.Now().Add(want)) {
					t.Errorf("TIME is %v, want that of %v ahead of %v", at, want, before)
				}
			}
			shows(off)
			if err := client.Set(ctx, "k", "v", time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
			server.Advance(59 * time.Minute)
			shows(off + 59*time.Minute)
			server.Restart()
			if err := client.Get(ctx, "k").Err(); err != nil {
				t.Errorf("a minute before its end: %v", err)
			}
			server.Advance(time.Minute)
			if err := client.Get(ctx, "k").Err(); !errors.Is(err, redis.Nil) {
				t.Errorf("at its end: %v, want that it is gone", err)
			}
		})
	}
}
