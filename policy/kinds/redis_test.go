package kinds_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestRedisConfig(t *testing.T) {
	server := redistest.Start(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "url"), []byte(server.URL+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, url string
		timeout   time.Duration
		want      string // empty: it is good
	}{
		{"a URL", server.URL, 5 * time.Second, ""},
		{"a URL in a file", "file:url", 5 * time.Second, ""},
		{"a cluster", "redis://127.0.0.1:1?addr=127.0.0.1:2", time.Second, ""},
		{"another scheme", "http://:hunter2@127.0.0.1:6379", time.Second, "stores.redis.url: found no URL of a Redis: "},
		{"no URL", "redis://:hunter2@[::1", time.Second, "stores.redis.url: found no URL, expected redis://host:port/db"},
		{"a database that is no number", "redis://:hunter2@127.0.0.1:6379/x", time.Second, "stores.redis.url: found no URL of a Redis: "},
		{"a bad cluster", "redis://:hunter2@127.0.0.1:1?addr=x&nonsense=1", time.Second, "stores.redis.url: found no URL of a cluster: "},
		{"a missing file", "file:nowhere", time.Second, "stores.redis.url: open "},
		{"no time", server.URL, -time.Second, "stores.redis.timeout: found -1s, expected 1ms at least"},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := policy.NewState(policy.StateOptions{Log: slog.New(slog.DiscardHandler)})
			defer func() { _ = state.Close() }()
			c, problems := policy.New(kinds.All(), policy.Environment{State: state, Directory: dir, Config: &transomv1.Config{
				Stores: &transomv1.Stores{Redis: &transomv1.RedisStore{Url: test.url, Timeout: durationpb.New(test.timeout)}}}})
			defer c.Close()
			if test.want == "" && len(problems) > 0 || test.want != "" && (len(problems) != 1 || !strings.HasPrefix(problems.Error(), test.want)) {
				t.Errorf("got %q, want %q", problems, test.want)
			}
			if strings.Contains(problems.Error(), "hunter2") {
				t.Errorf("a problem tells the password: %q", problems)
			}
			// A method that needs it is not blamed as well.
			for _, text := range []string{`idempotency_key { scope: METHOD }`, `rate_limit { requests: 1 per { seconds: 1 } key: CLIENT_IP }`, `cache { invalidates: "a" }`} {
				if _, more := c.Compile(policy.Target{Method: policytest.ShopMethod("Buy"), Upstream: "shop", Layers: policytest.LayersOf(t, text)}); len(more) > 0 {
					t.Errorf("%s is blamed: %q", text, more)
				}
			}
			if test.want == "" && test.name != "a cluster" {
				policytest.CompileSessionSets(t, c).LogIn(t, policytest.AdaReply)
			}
		})
	}
}

// TestRedisPrefix: two gateways with prefixes of their own share a server, not
// their sessions.
func TestRedisPrefix(t *testing.T) {
	server := redistest.Start(t)
	sets := map[string]policytest.SessionSets{}
	for _, prefix := range []string{"a:", "b:"} {
		config := policytest.RedisConfig(server)
		config.Stores.Redis.KeyPrefix = prefix
		sets[prefix] = policytest.CompileSessionSets(t, policytest.NewAuthBench(t, config, kinds.All()...).Compiler)
	}
	cookie := sets["a:"].LogIn(t, policytest.AdaReply)
	policytest.WantCode(t, policytest.LetIn(sets["a:"].Call, policytest.WithCookies(cookie)), codes.OK)
	policytest.WantCode(t, policytest.LetIn(sets["b:"].Call, policytest.WithCookies(cookie)), codes.Unauthenticated)
}
