package revocation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy/store"
)

// replace has another type in the place of a key.
func replace(add func(ctx context.Context, c *redis.Client, key string) error) func(context.Context, *redis.Client, string) error {
	return func(ctx context.Context, c *redis.Client, key string) error {
		return errors.Join(c.Del(ctx, key).Err(), add(ctx, c, key))
	}
}

// other is a text in the place of a key.
func other(text string) func(context.Context, *redis.Client, string) error {
	return func(ctx context.Context, c *redis.Client, key string) error { return c.Set(ctx, key, text, 0).Err() }
}

// damages are what Redis may hold in place of what was written there.
var damages = map[string]func(ctx context.Context, c *redis.Client, key string) error{
	"text": other("damaged"), "10 MB": other(strings.Repeat("1", 10<<20)),
	"a moment of long ago": other("-9223372036854775808"), "one to come": other("9223372036854775807"),
	"a list": replace(func(ctx context.Context, c *redis.Client, key string) error { return c.LPush(ctx, key, "a").Err() }),
	"a hash": replace(func(ctx context.Context, c *redis.Client, key string) error { return c.HSet(ctx, key, "a", "b").Err() }),
}

// TestDamagedRevocations: whatever Redis holds in place of a logout, no token that was logged out is let in, other holders' tokens
// are not concerned, and the next logout is as ever.
func TestDamagedRevocations(t *testing.T) {
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			server := redistest.Start(t)
			client := server.Client(t)
			r := NewShared(&store.Redis{Client: client, Timeout: 10 * time.Second, Prefix: "p:"}, time.Now)
			ada, bob, eve := Name{HolderOf("i", "ada"), [32]byte{1}}, Name{HolderOf("i", "bob"), [32]byte{2}}, Name{HolderOf("i", "eve"), [32]byte{3}}
			issued, end := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
			if err := errors.Join(r.RevokeAll(t.Context(), ada.Holder, end), r.Revoke(t.Context(), bob, end), r.RevokeAll(t.Context(), eve.Holder, end)); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(damage(t.Context(), client, r.holderKey(ada.Holder)), damage(t.Context(), client, r.tokenKey(bob))); err != nil {
				t.Fatal(err)
			}
			for _, name := range []Name{ada, bob} {
				if over, err := r.Revoked(t.Context(), name, issued); !over && err == nil {
					t.Errorf("%x is let in", name.Token[0])
				}
			}
			over, err := r.RevokedOf(t.Context(), []Name{ada, eve, {Holder: HolderOf("i", "dan")}}, []time.Time{issued, issued, {}})
			if err != nil || !over[1] || over[2] {
				t.Errorf("of all %v, %v; want that the second is over, and the third is not", over, err)
			}
			if err := r.RevokeAll(t.Context(), ada.Holder, end); err != nil {
				t.Fatal(err)
			}
			for when, want := range map[time.Time]bool{issued: true, end: false} {
				if over, err := r.Revoked(t.Context(), ada, when); over != want || err != nil {
					t.Errorf("after another logout, issued %v: %t, %v", when, over, err)
				}
			}
		})
	}
}

// TestDamagedMoment: what was cut or changed, or is another holder's, is no moment.
func TestDamagedMoment(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	r := NewShared(&store.Redis{Client: client, Timeout: 10 * time.Second, Prefix: "p:"}, time.Now)
	name, issued := Name{Holder: HolderOf("i", "ada")}, time.Now()
	if err := r.RevokeAll(t.Context(), name.Holder, issued.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	key := r.holderKey(name.Holder)
	whole := client.Get(t.Context(), key).Val()
	look := func(key, text string) (bool, error) {
		found := redis.NewStringCmd(t.Context())
		found.SetVal(text)
		return isOver(key, found, issued)
	}
	if over, err := look(key, whole); !over || err != nil {
		t.Fatalf("%s: %t, %v", whole, over, err)
	}
	for i := range whole {
		if i > 0 {
			if over, err := look(key, whole[:i]); err == nil {
				t.Errorf("%d bytes of it are read: %t", i, over)
			}
		}
		for bit := range 8 {
			if over, err := look(key, whole[:i]+string([]byte{whole[i] ^ 1<<bit})+whole[i+1:]); err == nil {
				t.Errorf("bit %d of byte %d is another, and it is read: %t", bit, i, over)
			}
		}
	}
	if over, err := look(r.holderKey(HolderOf("i", "bob")), whole); err == nil {
		t.Errorf("another holder's is read: %t", over)
	}
}
