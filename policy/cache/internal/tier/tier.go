// Package tier keeps answers in a Redis that gateways share, behind the memory of each
// (Traffic 129), and tells the others what was dropped (Traffic 127).
//
// An answer lies there with the generation of everything that it may be dropped by: its
// tags, its method, its principal. Whoever drops answers writes new generations, and an
// answer whose generations are not those of the moment is none. So one that was asked for
// before a write is never read after it, whenever it arrives. The channel of Redis that
// carries the same to the other gateways' memories may lose messages; answers do not depend
// on it.
//
// A Redis that is away or slow is no error of a call: there is nothing to find, and nothing
// is kept.
package tier

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/policy/store"
)

const (
	// LocalLife is how long a gateway gives an answer of the tier without looking again.
	LocalLife = 5 * time.Second
	// MaxLife is the longest time for which an answer stays in Redis.
	MaxLife = 24 * time.Hour

	// generationLife is for how long a generation stays that no answer refers to. Where one
	// has gone, the answers of it have, too.
	generationLife = MaxLife + time.Hour
)

// Digest stands for something that answers are dropped by. It does not reveal what.
type Digest [16]byte

func digestOf(kind byte, text string) Digest {
	sum := sha256.Sum256(append([]byte{kind}, text...))
	return Digest(sum[:])
}

// Tag is the digest of a tag.
func Tag(text string) Digest { return digestOf('t', text) }

// RPC is the digest of a method.
func RPC(name string) Digest { return digestOf('m', name) }

// Principal is the digest of a principal.
func Principal(name string) Digest { return digestOf('p', name) }

// All is the digest of everything.
var All = digestOf('a', "")

// Key is the digest of what an answer is found by.
type Key [sha256.Size]byte

// Listener is told what other gateways dropped. It is called by one goroutine at a time.
type Listener interface {
	// Dropped drops the answers that are about one of the digests. wide reports whether there
	// are others than tags among them.
	Dropped(about []Digest, wide bool)
	// Missed drops what may have been dropped by others while nothing was heard of them.
	Missed()
}

// Tier is the Redis as seen by one gateway. It is safe for concurrent use.
type Tier struct {
	redis    *store.Redis
	now      func() time.Time
	log      *slog.Logger
	listener Listener
	self     [8]byte // the gateway, so that it does not listen to itself

	queue  chan *Item
	queued atomic.Int64 // bytes

	drops drops
	// marked is the mark of the last drop that was heard of, by whoever listens; "" for none.
	marked string

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

var _ io.Closer = (*Tier)(nil)

// Options are what a Tier needs.
type Options struct {
	Redis    *store.Redis
	Now      func() time.Time
	Log      *slog.Logger
	Listener Listener
}

// New returns a Tier that listens to the others, and waits for as long as one command may
// take until it does.
func New(o Options) *Tier {
	t := &Tier{redis: o.Redis, now: o.Now, log: o.Log, listener: o.Listener, queue: make(chan *Item, maxQueued)}
	t.drops.wake = make(chan struct{}, 1)
	_, _ = rand.Read(t.self[:])
	t.ctx, t.cancel = context.WithCancel(context.Background())
	heard := make(chan struct{})
	t.running.Go(func() { t.listen(sync.OnceFunc(func() { close(heard) })) })
	t.running.Go(t.write)
	t.running.Go(t.deliverLate)
	wait := time.NewTimer(o.Redis.Timeout)
	defer wait.Stop()
	select {
	case <-heard:
	case <-wait.C:
	}
	return t
}

// Close ends what goes on beside the calls. What waits in the queue is not kept.
func (t *Tier) Close() error {
	t.cancel()
	t.running.Wait()
	return nil
}

// ErrAway is the error of a Redis that did not answer.
var ErrAway = errors.New("the shared store did not answer")

// failed notes an error of Redis, and returns ErrAway, or nil where it was the call that
// ended. A Redis that holds something else than was written there is not away.
func (t *Tier) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	var answered redis.Error
	if !errors.As(err, &answered) && !errors.Is(err, errGeneration) && !errors.Is(err, errCount) {
		t.redis.Health.Failed()
	}
	return ErrAway
}

func text(digest []byte) string { return base64.RawURLEncoding.EncodeToString(digest) }

// The keys of Redis tell nothing of requests and principals. The braces have a cluster
// spread them over its slots.

func (t *Tier) answerKey(k Key) string { return t.redis.Prefix + "cache:{" + text(k[:]) + "}" }

func (t *Tier) generationKey(d Digest) string {
	return t.redis.Prefix + "cache-generation:{" + text(d[:]) + "}"
}

func (t *Tier) countKey() string { return t.redis.Prefix + "cache-drops" }

func (t *Tier) markKey() string { return t.redis.Prefix + "cache-mark" }

func (t *Tier) channel() string { return t.redis.Prefix + "cache-dropped" }
