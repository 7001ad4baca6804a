package policy

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/redistest"
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
		{"no time", server.URL, -time.Second, "stores.redis.url: the timeout is -1s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := NewState(StateOptions{Log: slog.New(slog.DiscardHandler)})
			defer func() { _ = state.Close() }()
			c, problems := New(Kinds(), Environment{State: state, Directory: dir, Config: &transomv1.Config{
				Stores: &transomv1.Stores{Redis: &transomv1.RedisStore{Url: test.url, Timeout: durationpb.New(test.timeout)}}}})
			defer c.Close()
			if test.want == "" && len(problems) > 0 || test.want != "" && (len(problems) != 1 || !strings.HasPrefix(problems.Error(), test.want)) {
				t.Errorf("got %q, want %q", problems, test.want)
			}
			if strings.Contains(problems.Error(), "hunter2") {
				t.Errorf("a problem tells the password: %q", problems)
			}
			if test.want == "" && test.name != "a cluster" {
				compileSessionSets(t, c).logIn(t, adaReply)
			}
		})
	}
}

// TestRedisPrefix: two gateways with prefixes of their own share a server, not
// their sessions.
func TestRedisPrefix(t *testing.T) {
	server := redistest.Start(t)
	sets := map[string]sessionSets{}
	for _, prefix := range []string{"a:", "b:"} {
		config := redisConfig(server)
		config.Stores.Redis.KeyPrefix = prefix
		sets[prefix] = compileSessionSets(t, newAuthBench(t, config).Compiler)
	}
	cookie := sets["a:"].logIn(t, adaReply)
	wantCode(t, letIn(sets["a:"].call, withCookies(cookie)), codes.OK)
	wantCode(t, letIn(sets["b:"].call, withCookies(cookie)), codes.Unauthenticated)
}

// eachClock runs a test with a Redis whose clock is right, one whose clock is a
// year ahead, and one a day behind: the answers are the same.
func eachClock(t *testing.T, test func(t *testing.T, server *redistest.Server)) {
	t.Helper()
	for name, off := range redistest.Clocks {
		t.Run("clock "+name, func(t *testing.T) { test(t, redistest.StartWithClock(t, off)) })
	}
}

// deadlineHook sees that each command to Redis has a deadline that lies no
// further away than the limit: what waits longer then is no fault of ours, but
// of a busy machine.
type deadlineHook struct {
	limit time.Duration

	mu    sync.Mutex
	seen  int
	wrong []string
}

var _ redis.Hook = (*deadlineHook)(nil)

func (*deadlineHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *deadlineHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.look(ctx, cmd.Name())
		return next(ctx, cmd)
	}
}

func (h *deadlineHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.look(ctx, "a pipeline")
		return next(ctx, cmds)
	}
}

func (h *deadlineHook) look(ctx context.Context, command string) {
	end, bounded := ctx.Deadline()
	left := time.Until(end)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	if !bounded || left > h.limit {
		h.wrong = append(h.wrong, fmt.Sprintf("%s has the deadline %v, in %v", command, end, left))
	}
}

// check fails where no command was seen, or one that may take longer.
func (h *deadlineHook) check(t testing.TB) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == 0 || len(h.wrong) > 0 {
		t.Errorf("%d commands, want one at least that all end within %v; not so: %q", h.seen, h.limit, h.wrong)
	}
}
