package store

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// logText is a log that a test reads.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// lines takes what was written since the last time.
func (l *logText) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.b.String())
	l.b.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// storeOf connects to a URL as a gateway does.
func storeOf(t *testing.T, url string, now func() time.Time) (*Redis, *logText) {
	t.Helper()
	store, text, _ := storeAndStateOf(t, url, now)
	return store, text
}

func storeAndStateOf(t *testing.T, url string, now func() time.Time) (*Redis, *logText, *policy.State) {
	t.Helper()
	text := &logText{}
	state := policy.NewState(policy.StateOptions{Log: slog.New(slog.NewTextHandler(text, nil)), Now: now})
	t.Cleanup(func() { _ = state.Close() })
	var g *policy.Generation
	c, problems := policy.New([]policy.Kind{policytest.GenerationOf(&g)}, policy.Environment{State: state, Config: &transomv1.Config{
		Stores: &transomv1.Stores{Redis: &transomv1.RedisStore{Url: url, Timeout: durationpb.New(10 * time.Second)}}}})
	t.Cleanup(c.Close)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	store, err := Of(g)
	if err != nil {
		t.Fatal(err)
	}
	return store, text, state
}

// TestARedisIsAwayUntilItAnswers: what the admin listener shows follows the commands.
func TestARedisIsAwayUntilItAnswers(t *testing.T) {
	server := redistest.Start(t)
	store, _, state := storeAndStateOf(t, server.URL, time.Now)
	_ = store.Client.Ping(context.Background()).Err()
	if away := state.AwayStores(); len(away) > 0 {
		t.Errorf("away are %q, want none", away)
	}
	server.Kill()
	_ = store.Client.Ping(context.Background()).Err()
	if away := state.AwayStores(); len(away) != 1 || !strings.Contains(away[0], "no such file or directory") {
		t.Errorf("away are %q, want the one that was killed", away)
	}
	server.Restart()
	poll.Until(t, "an answer", func() bool { return store.Client.Ping(context.Background()).Err() == nil })
	if away := state.AwayStores(); len(away) > 0 {
		t.Errorf("away are %q after an answer, want none", away)
	}
}

// TestTheLogTellsOfRedis: why it cannot be used stands in the log once a minute,
// however many calls find out, and that it is back stands there once.
func TestTheLogTellsOfRedis(t *testing.T) {
	server, clock := redistest.Start(t), policytest.NewClock()
	store, text := storeOf(t, server.URL, clock.Now)
	// Few: after ten failures go-redis goes on by itself, beyond the test's end.
	ask := func(times int) {
		for range times {
			_ = store.Client.Get(context.Background(), "absent").Err()
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		want string // in the only line; empty for none
	}{
		{"what is not there is no failure", func() { ask(3) }, ""},
		{"away", func() { server.Kill(); ask(2) }, "no such file or directory"},
		{"still away", func() { clock.Advance(storeReminder - 1); ask(1) }, ""},
		{"a minute later", func() { clock.Advance(1); ask(1) }, "no such file or directory"},
		{"back", func() {
			server.Restart()
			poll.Until(t, "an answer", func() bool { return store.Client.Ping(context.Background()).Err() == nil })
		}, "Redis answers again"},
		{"away again, too soon to say so", func() { server.Kill(); ask(1) }, ""},
		{"a minute later again", func() { clock.Advance(storeReminder); ask(1) }, "no such file or directory"},
		{"a client that goes away says nothing", func() {
			clock.Advance(storeReminder)
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			_ = store.Client.Ping(gone).Err()
			late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
			defer cancel()
			_ = store.Client.Ping(late).Err()
		}, ""},
	} {
		step.do()
		lines := text.lines()
		if step.want == "" && len(lines) > 0 || step.want != "" && (len(lines) != 1 || !strings.Contains(lines[0], step.want)) {
			t.Errorf("%s: the log says %q, want %q", step.name, lines, step.want)
		}
	}
}

// TestTheLogKeepsThePassword: a Redis that takes another password is a reason, the
// password is not.
func TestTheLogKeepsThePassword(t *testing.T) {
	server := redistest.Start(t)
	store, text, state := storeAndStateOf(t, strings.Replace(server.URL, "unix://", "unix://nobody:hunter2@", 1), time.Now)
	_ = store.Client.Ping(context.Background()).Err()
	lines := text.lines()
	if len(lines) != 1 || !strings.Contains(lines[0], "WRONGPASS") || strings.Contains(lines[0], "hunter2") {
		t.Errorf("the log says %q, want one line about WRONGPASS without the password", lines)
	}
	away := state.AwayStores()
	if len(away) != 1 || !strings.HasPrefix(away[0], "redis /") || !strings.Contains(away[0], ": WRONGPASS") || strings.Contains(away[0], "hunter2") {
		t.Errorf("away are %q, want the socket and WRONGPASS", away)
	}
	for url, want := range map[string]string{"redis://u:hunter2@host:6379/0?a=b": "host:6379", "rediss://host": "host", "redis://[::1]:1": "[::1]:1"} {
		if got := shown(url); got != want {
			t.Errorf("%s is shown as %q, want %q", url, got, want)
		}
	}
}

// TestTheLogTellsOfSilence: a Redis that does not answer in time.
func TestTheLogTellsOfSilence(t *testing.T) {
	l := &storeLog{timeout: 50 * time.Millisecond}
	for _, err := range []error{context.DeadlineExceeded, context.Cause(expired(t))} {
		if got, want := l.reason(err), "no answer within stores.redis.timeout, 50ms"; got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	t.Cleanup(cancel)
	return ctx
}
