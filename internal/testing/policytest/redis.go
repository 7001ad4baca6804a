package policytest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/testing/redis"
)

// EachClock runs a test with a Redis whose clock is right, one whose clock is a
// year ahead, and one a day behind: the answers are the same.
func EachClock(t *testing.T, test func(t *testing.T, server *redistest.Server)) {
	t.Helper()
	for name, off := range redistest.Clocks {
		t.Run("clock "+name, func(t *testing.T) { test(t, redistest.StartWithClock(t, off)) })
	}
}

// DeadlineHook sees that each command to Redis has a deadline that lies no
// further away than the limit: what waits longer then is no fault of ours, but
// of a busy machine.
type DeadlineHook struct {
	Limit time.Duration

	mu    sync.Mutex
	seen  int
	wrong []string
}

var _ redis.Hook = (*DeadlineHook)(nil)

// DialHook implements redis.Hook.
func (*DeadlineHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (h *DeadlineHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.look(ctx, cmd.Name())
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h *DeadlineHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.look(ctx, "a pipeline")
		return next(ctx, cmds)
	}
}

func (h *DeadlineHook) look(ctx context.Context, command string) {
	end, bounded := ctx.Deadline()
	left := time.Until(end)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	if !bounded || left > h.Limit {
		h.wrong = append(h.wrong, fmt.Sprintf("%s has the deadline %v, in %v", command, end, left))
	}
}

// Check fails where no command was seen, or one that may take longer.
func (h *DeadlineHook) Check(t testing.TB) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == 0 || len(h.wrong) > 0 {
		t.Errorf("%d commands, want one at least that all end within %v; not so: %q", h.seen, h.Limit, h.wrong)
	}
}
