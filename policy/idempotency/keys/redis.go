package keys

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/store"
)

const (
	// leaseTime is how long a gateway that is not heard of holds a key, and renewEvery how
	// often it is heard of.
	leaseTime  = 15 * time.Second
	renewEvery = 5 * time.Second
	// pollEvery is how often it is looked for the answer that calls wait for, and tryEvery how
	// often it is tried to write one.
	pollEvery = 100 * time.Millisecond
	tryEvery  = 500 * time.Millisecond
)

// States of a key in Redis; that of a kept record is its first letter.
const (
	inRedisRunning = "running"
	inRedisLost    = "lost" // the gateway that made the call has not been heard of
	inRedisDone    = "done"
	inRedisUnknown = "unknown" // as done, but the record says that nobody knows the outcome
	inRedisTaken   = "taken"   // by us
)

// maxRecord is above what a record can have, in bytes: somebody else wrote what is larger.
const maxRecord = 32 << 20

// readRecord defines a function of scripts that reads a record, "" for one of more than maxRecord.
var readRecord = fmt.Sprintf(`
local function record()
  if redis.call('HSTRLEN', KEYS[1], 'record') > %d then return '' end
  return redis.call('HGET', KEYS[1], 'record') or ''
end
`, maxRecord)

// readFields begins scripts that read fields of a key: v has those that are named, "" for what is too long to be
// ours, or nothing where somebody else has written what is no hash.
const readFields = `
local v = redis.pcall('HMGET', KEYS[1], %s)
if v.err and string.find(v.err, 'WRONGTYPE', 1, true) then v = {} end
if v.err then return v end
if not v[1] and redis.call('EXISTS', KEYS[1]) == 1 then v[1] = 'damaged' end
for i, text in pairs(v) do if text and #text > 65536 then v[i] = '' end end
`

// beginScript takes a key, or tells what is known of it.
//
// KEYS: the key. ARGV: token, fingerprint, lease and ttl in milliseconds, "1" where a lost
// call may be made again, the client's key, principal, method or route. Answer: state,
// fingerprint, record. While its call is under way a key is there for the lease and then for ttl: one
// that had gone before its call has ended would be taken once more. A lease longer than any, as the clock was set back, is cut.
var beginScript = redis.NewScript(store.ServerNow + readRecord + fmt.Sprintf(readFields, "'state', 'fingerprint', 'until'") + `
local lost = v[1] == 'running' and (tonumber(v[3]) or 0) < now
if not v[1] or (lost or v[1] == 'lost') and ARGV[5] == '1' and v[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'state', 'running', 'fingerprint', ARGV[2], 'token', ARGV[1], 'until', string.format('%.0f', now + ARGV[3] * 1000),
    'key', ARGV[6], 'principal', ARGV[7], 'rpc', ARGV[8], 'begun', string.format('%.0f', now / 1000))
  redis.call('PEXPIRE', KEYS[1], ARGV[3] + ARGV[4])
  return {'taken', ARGV[2], ''}
end
if lost then
  redis.call('HSET', KEYS[1], 'state', 'lost')
  return {'lost', v[2] or '', ''}
end
local most = now + ARGV[3] * 1000
if v[1] == 'running' and not (tonumber(v[3]) <= most) then redis.call('HSET', KEYS[1], 'until', string.format('%.0f', most)) end
return {v[1], v[2] or '', v[2] and record() or ''}
`)

// renewScript keeps a key. KEYS: the key. ARGV: token, lease and ttl in milliseconds.
var renewScript = redis.NewScript(store.ServerNow + `
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'running', 'until', string.format('%.0f', now + ARGV[2] * 1000))
redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[3])
return 1
`)

// endScript writes a record, "" to free the key. KEYS: the key. ARGV: token, record, ttl in
// milliseconds, state.
var endScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'state', ARGV[4], 'record', ARGV[2])
redis.call('HDEL', KEYS[1], 'token', 'until')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`)

// redisAnswers keeps records in Redis, for all gateways.
type redisAnswers struct {
	*store.Redis
	log  *slog.Logger
	late *lateEnds
	// watches are shared by all that use the same Redis.
	watches *watches
}

// InRedis keeps records in the Redis of a generation.
func InRedis(g *policy.Generation) (Store, error) {
	r, err := store.Of(g)
	if err != nil {
		return nil, err
	}
	late, err := policy.Lease(g, lateKey{}, func() (*lateEnds, error) {
		l := &lateEnds{places: make(chan struct{}, maxAbandoned)}
		l.ctx, l.cancel = context.WithCancel(context.Background())
		return l, nil
	})
	if err != nil {
		return nil, err
	}
	a := &redisAnswers{Redis: r, log: g.State.Log, late: late}
	a.watches, err = policy.Lease(g, watchesKey{r}, func() (*watches, error) { return newWatches(a.look), nil })
	return a, err
}

// watchesKey is that of the watches of a Redis in the State.
type watchesKey struct{ redis *store.Redis }

// lateEnds are records that could not be written at once. They outlive the calls.
type lateEnds struct {
	ctx     context.Context // ends with the State
	cancel  context.CancelFunc
	running sync.WaitGroup
	places  chan struct{} // of keys that are given back
}

// maxAbandoned bounds how many keys are given back at a time.
const maxAbandoned = 1000

// lateKey is that of lateEnds in the State.
type lateKey struct{}

// Close implements io.Closer.
func (l *lateEnds) Close() error {
	l.cancel()
	l.running.Wait()
	return nil
}

// key is the name of a record in Redis. It tells nothing of the client's key.
func (a *redisAnswers) key(id Digest) string { return a.name(hex.EncodeToString(id[:])) }

// name is key, by the ID in hexadecimal digits.
func (a *redisAnswers) name(id string) string { return a.Prefix + "idempotency:{" + id + "}" }

// errAway refuses calls under a key while the store cannot be asked (Traffic 97).
var errAway = policy.StoreAway("the store of idempotency keys cannot be reached; try again soon")

// errReadOnly is errAway of a replica, at which no key can be taken.
var errReadOnly = policy.StoreAway("the store of idempotency keys cannot be written for now; try again soon")

// lostStatus is what is known of a call whose gateway has not been heard of since.
var lostStatus = &spb.Status{Code: int32(codes.Unknown), Message: "the gateway that made it ended, or lost Redis, before its answer was kept"}

// failed is the refusal of a call whose key could not be asked for.
func (a *redisAnswers) failed(l *redisLease, err error) error {
	var answered redis.Error
	switch {
	case store.IsReadOnly(err):
		return errReadOnly // nothing was taken, and others may be replayed
	case err != nil && !errors.As(err, &answered):
		a.Health.Failed()
	}
	a.abandon(l, err)
	return errAway
}

// damaged is the refusal of a call whose key has something else in the store than was written there.
func (a *redisAnswers) damaged(c *Call) error {
	a.Damaged("calls under an idempotency key are refused until it is released by force or its time is over", "id", hex.EncodeToString(c.ID[:]), "rpc", c.RPC)
	return policy.StoreAway("what the store has of this idempotency key cannot be read, so that nobody knows what became of the first call, and none is made: ask who runs the gateway")
}

// Begin implements Store.
func (a *redisAnswers) Begin(ctx context.Context, c *Call) (Lease, *Record, error) {
	token := rand.Text()
	if err := ctx.Err(); err != nil {
		return nil, nil, status.FromContextError(err).Err()
	}
	if !a.Health.Ask() {
		return nil, nil, errAway
	}
	// A client that goes away does not leave a key that nobody knows to be taken.
	bounded, cancel := a.Bound(context.WithoutCancel(ctx))
	defer cancel()
	key := a.key(c.ID)
	answer, err := beginScript.Run(bounded, a.Client, []string{key}, token, c.Fingerprint[:], leaseTime.Milliseconds(),
		c.TTL.Milliseconds(), c.Again, c.Key, c.Principal, c.RPC).StringSlice()
	if err != nil || len(answer) != 3 {
		return nil, nil, a.failed(&redisLease{of: a, key: key, token: token}, err)
	}
	if len(answer[1]) != len(Digest{}) {
		return nil, nil, a.damaged(c)
	}
	known := &Record{Fingerprint: Digest([]byte(answer[1]))}
	switch answer[0] {
	case inRedisTaken:
		return a.hold(key, token, c), nil, nil
	case inRedisRunning:
		known.State = Running
	case inRedisLost:
		known.State, known.Status = Uncertain, lostStatus
	default:
		if known, err = open(c.ID, []byte(answer[2])); err != nil {
			return nil, nil, a.damaged(c)
		}
	}
	return nil, known, nil
}

// abandon gives a key back that may be taken although nobody heard of it: a server that was
// stopped carries out what it had received when it goes on. Otherwise the key's outcome
// would be unknown, though no call was made.
func (a *redisAnswers) abandon(l *redisLease, err error) {
	var failed *net.OpError
	if errors.As(err, &failed) && failed.Op == "dial" || a.late.ctx.Err() != nil {
		return // nothing was sent
	}
	select {
	case a.late.places <- struct{}{}:
	default:
		return
	}
	a.late.running.Go(func() {
		defer func() { <-a.late.places }()
		l.giveBack()
	})
}

// giveBack tries to free the key until the server has answered a few times: it has carried
// out by then what it had received.
func (l *redisLease) giveBack() {
	ctx, cancel := context.WithTimeout(l.of.late.ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(tryEvery)
	defer tick.Stop()
	for answers := 0; answers < 3; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		freed, err := l.write(nil, time.Second)
		if err == nil && freed {
			return
		}
		if err == nil {
			answers++
		}
	}
}

// Wait implements Store.
func (a *redisAnswers) Wait(ctx context.Context, id Digest) (*Record, bool) {
	return a.watches.wait(ctx, id)
}

// redisLease is a key that a call has taken. It is renewed until the call ends.
type redisLease struct {
	of         *redisAnswers
	key, token string
	id         Digest
	rpc        string
	ttl        time.Duration
	lost       func() // of its Call
	state      string // that it is to have at its end, where a record is written
	stop       chan struct{}
	stopped    sync.WaitGroup
}

func (a *redisAnswers) hold(key, token string, c *Call) *redisLease {
	l := &redisLease{of: a, key: key, token: token, id: c.ID, rpc: c.RPC, ttl: c.TTL, lost: c.Lost, stop: make(chan struct{})}
	l.stopped.Go(l.renew)
	return l
}

// renew keeps the key until stop.
func (l *redisLease) renew() {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.stop:
			return
		}
		ctx, cancel := l.of.Bound(context.Background())
		_ = renewScript.Run(ctx, l.of.Client, []string{l.key}, l.token, leaseTime.Milliseconds(), l.ttl.Milliseconds()).Err() // it is tried again
		cancel()
	}
}

// End implements Lease. What cannot be written at once is tried again, behind the client's
// answer, until the lease is over.
func (l *redisLease) End(kept *Record, ttl time.Duration) {
	close(l.stop)
	l.stopped.Wait()
	var raw []byte
	if kept != nil {
		raw, l.state = kept.seal(l.id), inRedisDone
		if kept.State == Uncertain {
			l.state = inRedisUnknown
		}
	}
	if _, err := l.write(raw, ttl); err != nil && l.of.late.ctx.Err() == nil {
		l.of.late.running.Go(func() { l.writeLate(raw, ttl) })
	}
}

// writeLate tries to write the end until the lease is over.
func (l *redisLease) writeLate(raw []byte, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(l.of.late.ctx, leaseTime)
	defer cancel()
	tick := time.NewTicker(tryEvery)
	defer tick.Stop()
	var err error
	for {
		select {
		case <-tick.C:
			if _, err = l.write(raw, ttl); err == nil {
				return
			}
		case <-ctx.Done():
			l.of.log.Error("the answer to a call under an idempotency key could not be kept: the key's outcome is unknown now",
				"id", hex.EncodeToString(l.id[:]), "rpc", l.rpc, "error", err)
			if l.lost != nil {
				l.lost()
			}
			return
		}
	}
}

// write writes the end once, and reports whether the key was still the call's.
func (l *redisLease) write(raw []byte, ttl time.Duration) (bool, error) {
	ctx, cancel := l.of.Bound(context.Background())
	defer cancel()
	n, err := endScript.Run(ctx, l.of.Client, []string{l.key}, l.token, raw, ttl.Milliseconds(), l.state).Int()
	return n == 1, err
}
