package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
)

// damage changes the key of a session, or of a principal's list; another is that of somebody else.
type damage func(ctx context.Context, c *redis.Client, key, another string) error

// instead has something of another type in the place of a key.
func instead(add func(ctx context.Context, c *redis.Client, key string) error) damage {
	return func(ctx context.Context, c *redis.Client, key, _ string) error {
		return errors.Join(c.Del(ctx, key).Err(), add(ctx, c, key))
	}
}

// fields are others in the hash of a session.
func fields(values ...any) damage {
	return func(ctx context.Context, c *redis.Client, key, _ string) error {
		return c.HSet(ctx, key, values...).Err()
	}
}

// without leaves fields out.
func without(names ...string) damage {
	return func(ctx context.Context, c *redis.Client, key, _ string) error {
		return c.HDel(ctx, key, names...).Err()
	}
}

var damages = map[string]damage{
	"nobody":               fields("d", "{}"),
	"no object":            fields("d", "null"),
	"text":                 fields("d", "damaged"),
	"another name":         fields("d", `{"p":"eve","r":["admin"]}`),
	"10 MB":                fields("d", `{"p":"ada","c":{"email":"`+strings.Repeat("x", 10<<20)+`"}}`),
	"much nested":          fields("d", `{"p":"ada","c":{"email":`+strings.Repeat("[", 1<<16)),
	"no data":              without("d"),
	"no end":               without("e"),
	"no checksum":          without("c"),
	"an end that is none":  fields("e", "soon"),
	"no number":            fields("e", "nan"),
	"an end without end":   fields("e", "inf"),
	"an end in 2^63 years": fields("e", "9223372036854775807"),
	"an end of year 1":     fields("e", "-62135596800000000"),
	"a list":               instead(func(ctx context.Context, c *redis.Client, key string) error { return c.LPush(ctx, key, "a").Err() }),
	"a string":             instead(func(ctx context.Context, c *redis.Client, key string) error { return c.Set(ctx, key, "a", 0).Err() }),
	"another's": func(ctx context.Context, c *redis.Client, key, another string) error {
		return errors.Join(c.Persist(ctx, another).Err(), c.Do(ctx, "COPY", another, key, "REPLACE").Err())
	},
}

// bench is a gateway, and what its log says.
func bench(t *testing.T) (*policy.State, policytest.SessionSets, *redis.Client, *bytes.Buffer) {
	server := redistest.Start(t)
	text := new(bytes.Buffer)
	state := policy.NewState(policy.StateOptions{Log: slog.New(slog.NewTextHandler(text, nil))})
	t.Cleanup(func() { _ = state.Close() })
	c, problems := policy.New(kinds.All(), policy.Environment{Config: policytest.RedisConfig(server), State: state, Directory: t.TempDir()})
	t.Cleanup(c.Close)
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	return state, policytest.CompileSessionSets(t, c), server.Client(t), text
}

// only is the one key of a kind.
func only(t *testing.T, c *redis.Client, pattern string) string {
	t.Helper()
	keys, err := c.Keys(t.Context(), pattern).Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	return keys[0]
}

// TestDamagedSessions: whatever Redis holds in place of a session, nobody is let in by it, and its caller can log in again. Others are
// not concerned, and operators are told once.
func TestDamagedSessions(t *testing.T) {
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			state, s, client, text := bench(t)
			cookie := s.LogIn(t, policytest.AdaReply)
			key := only(t, client, "*:session:*")
			if err := client.Rename(t.Context(), key, "ada").Err(); err != nil {
				t.Fatal(err)
			}
			eve := s.LogIn(t, `user { id: "eve" }`)
			another := only(t, client, "*:session:*")
			if err := errors.Join(client.Rename(t.Context(), "ada", key).Err(), damage(t.Context(), client, key, another)); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				r := policytest.WithCookies(cookie)
				if policytest.WantCode(t, policytest.LetIn(s.Call, r), codes.Unauthenticated); r.Identity != nil && r.Identity.Principal != "" {
					t.Errorf("taken for %+v", r.Identity)
				}
			}
			policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(eve)), codes.OK)
			again := s.LogIn(t, policytest.AdaReply, cookie)
			policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(again)), codes.OK)
			if n := strings.Count(text.String(), "something else than was written there"); n != 1 || len(state.AwayStores()) > 0 {
				t.Errorf("told %d times, away: %q; %s", n, state.AwayStores(), text.String())
			}
		})
	}
}

// TestDamagedSession: what of a session was cut or changed, byte by byte, is none.
func TestDamagedSession(t *testing.T) {
	_, s, client, _ := bench(t)
	cookie := s.LogIn(t, policytest.AdaReply)
	key := only(t, client, "*:session:*")
	whole := client.HGetAll(t.Context(), key).Val()
	try := func(field, text string) {
		t.Helper()
		if err := client.HSet(t.Context(), key, field, text).Err(); err != nil {
			t.Fatal(err)
		}
		if err := policytest.LetIn(s.Call, policytest.WithCookies(cookie)); status.Code(err) != codes.Unauthenticated {
			t.Errorf("with %s=%q: %v", field, text, err)
		}
		if err := client.HSet(t.Context(), key, whole).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if len(whole) != 3 {
		t.Errorf("a session is %v", whole)
	}
	for field, text := range whole {
		for i := range text {
			try(field, text[:i])
			try(field, text[:i]+string([]byte{text[i] ^ 1})+text[i+1:])
		}
		try(field, text+" ")
	}
	policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.OK)
}

// TestDamagedLists: whatever Redis holds in place of a principal's sessions, who logs in gets a session that lasts, and a logout of
// all ends those that began since.
func TestDamagedLists(t *testing.T) {
	for what, damage := range map[string]damage{
		"a string": instead(func(ctx context.Context, c *redis.Client, key string) error { return c.Set(ctx, key, "a", 0).Err() }),
		"a list":   instead(func(ctx context.Context, c *redis.Client, key string) error { return c.LPush(ctx, key, "a").Err() }),
		"a thousand without end": func(ctx context.Context, c *redis.Client, key, _ string) error {
			_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i := range 1000 {
					p.Do(ctx, "ZADD", key, "inf", fmt.Sprint("a", i))
					p.Do(ctx, "ZADD", key, "1e300", fmt.Sprint("b", i))
				}
				return nil
			})
			return err
		},
		"names of another shape": func(ctx context.Context, c *redis.Client, key, _ string) error {
			return c.ZAdd(ctx, key, redis.Z{Score: 1e16, Member: ""}, redis.Z{Score: 1, Member: "../../x"}, redis.Z{Score: 1e16, Member: strings.Repeat("x", 1<<20)}).Err()
		},
	} {
		t.Run(what, func(t *testing.T) {
			_, s, client, _ := bench(t)
			s.LogIn(t, policytest.AdaReply)
			list := only(t, client, "*:sessions:*")
			if err := damage(t.Context(), client, list, ""); err != nil {
				t.Fatal(err)
			}
			var cookies []*http.Cookie
			for range 3 {
				cookies = append(cookies, s.LogIn(t, policytest.AdaReply))
			}
			for _, c := range cookies {
				policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(c)), codes.OK)
			}
			if ttl := client.PTTL(t.Context(), list).Val(); ttl <= 0 || ttl > 48*time.Hour {
				t.Errorf("the list lives for %v", ttl)
			}
			if _, err := policytest.Through(s.LogoutAll, policytest.WithCookies(cookies[0]), nil); err != nil {
				t.Fatal(err)
			}
			for _, c := range cookies {
				policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(c)), codes.Unauthenticated)
			}
		})
	}
}
