package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/span"
)

// storeReminder is how often the log repeats that a store is away.
const storeReminder = time.Minute

// replicaPause is how long a store that could not be written is taken for a replica, whatever
// can be read there.
const replicaPause = 5 * time.Second

// storeLog is the outermost hook of a Redis client: it says in the log why the
// store cannot be used, each storeReminder at most, and when it can be again.
// Clients are told neither.
type storeLog struct {
	log     *slog.Logger
	now     func() time.Time
	begun   time.Time
	timeout time.Duration
	told    atomic.Bool  // the log's last word is that it is away
	next    atomic.Int64 // silence until then, in nanoseconds since begun
	// report is told why the store cannot be used, and "" when it can be again.
	report func(why string)
	away   atomic.Bool // what report was told last
	// replica is until when an answer does not mean that the store can be used, in
	// nanoseconds since begun: it is one that can be read.
	replica atomic.Int64
	mu      sync.Mutex // of telling it
}

var _ redis.Hook = (*storeLog)(nil)

// DialHook changes nothing.
func (*storeLog) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook notes how a command ended.
func (l *storeLog) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		begun := l.now()
		err := next(ctx, cmd)
		l.note(err, begun)
		return err
	}
}

// ProcessPipelineHook notes how commands ended.
func (l *storeLog) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		begun := l.now()
		err := next(ctx, cmds)
		l.note(err, begun)
		return err
	}
}

func (l *storeLog) note(err error, begun time.Time) {
	if err == nil {
		if l.elapsed() < l.replica.Load() {
			return
		}
		if l.away.Load() && l.away.CompareAndSwap(true, false) {
			l.tell("")
		}
		if l.told.Load() && l.told.CompareAndSwap(true, false) {
			l.log.Info("Redis answers again")
		}
		return
	}
	if errors.Is(err, context.DeadlineExceeded) && l.now().Sub(begun) < l.timeout/2 {
		return // the time was the client's
	}
	if IsReadOnly(err) {
		l.replica.Store(l.elapsed() + int64(replicaPause))
	}
	if isStoreFailure(err) && l.report != nil && l.away.CompareAndSwap(false, true) {
		l.tell(l.reason(err))
	}
	now, next := l.elapsed(), l.next.Load()
	if isStoreFailure(err) && now >= next && l.next.CompareAndSwap(next, now+int64(storeReminder)) {
		l.told.Store(true)
		l.log.Warn("Redis cannot be used: sessions and logouts fail, calls under idempotency keys and limits do as their on_unavailable says", "error", l.reason(err))
	}
}

// elapsed is not changed when somebody sets the machine's clock.
func (l *storeLog) elapsed() int64 { return int64(l.now().Sub(l.begun)) }

// tell reports a change, unless another one has come after it.
func (l *storeLog) tell(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away.Load() == (why != "") {
		l.report(why)
	}
}

// reason words what a person can act on.
func (l *storeLog) reason(err error) string { return Reason(err, l.timeout) }

// Reason words an error of Redis as what a person can act on; timeout is that of one command.
func Reason(err error, timeout time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("no answer within stores.redis.timeout, %v", span.Text(timeout))
	}
	if IsReadOnly(err) {
		return "it is a replica, which takes no writes: have stores.redis.url name the primary, by a name that follows it when it changes"
	}
	return WithoutURL(err).Error()
}

// IsReadOnly reports whether an error is that of a replica, which can be read and not written.
func IsReadOnly(err error) bool {
	// Scripts of Redis 6 have their own words before it.
	return err != nil && (strings.HasPrefix(err.Error(), "READONLY ") || strings.Contains(err.Error(), "-READONLY "))
}

// isStoreFailure tells an answer that is none from those that belong to a
// store's daily work, and from a client that went away.
func isStoreFailure(err error) bool {
	if errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) || errors.Is(err, redis.ErrClosed) || isMoved(err) || IsCrossSlot(err) || IsDamage(err) {
		return false
	}
	return !strings.HasPrefix(err.Error(), "NOSCRIPT ")
}
