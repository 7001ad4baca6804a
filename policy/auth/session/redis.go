package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/store"
)

// redisSessions keeps sessions in Redis, shared between gateways. A session is
// one hash ("d": JSON, "e": its end in Unix microseconds, "c": a checksum of both under its key)
// that expires by itself: what is damaged, or is another's, is none. A sorted set per principal lists the keys of its sessions by their
// ends. Each script touches one key, so a cluster can hold them anywhere. The
// clock is the server's: gateways send and are told how long something lasts,
// never a moment of their own clocks.
type redisSessions struct {
	redis *store.Redis
	now   func() time.Time
}

var _ Store = (*redisSessions)(nil)

// sumOf begins scripts that check sessions: the checksum of one. It needs no secret, for who may
// write Redis may write sessions.
const sumOf = store.ServerNow + `
local function sum(data, ends) return redis.sha1hex(KEYS[1] .. ':' .. ends .. ':' .. data) end
`

// beginSession stores a session: KEYS[1] the session, ARGV[1] its data, ARGV[2]
// how long it lives at most, in microseconds, ARGV[3] idle time in milliseconds.
var beginSession = redis.NewScript(sumOf + `
local ends = string.format('%.0f', now + ARGV[2])
redis.call('HSET', KEYS[1], 'd', ARGV[1], 'e', ends, 'c', sum(ARGV[1], ends))
redis.call('PEXPIRE', KEYS[1], math.ceil(math.min(ARGV[2] / 1000, tonumber(ARGV[3]))))
return 0`)

// useSession reads a session and lets it live on: KEYS[1] the session, ARGV[1]
// idle time in milliseconds, ARGV[2] how many bytes of data are none that was written. It answers the data and how
// many microseconds are left until the end, or one word for what is no session.
var useSession = redis.NewScript(sumOf + `
local size = redis.pcall('HSTRLEN', KEYS[1], 'd')
if type(size) == 'table' and not string.find(size.err, 'WRONGTYPE', 1, true) then return size end
if size == 0 and redis.call('EXISTS', KEYS[1]) == 0 then return false end
if type(size) == 'table' or size >= tonumber(ARGV[2]) then return {'damaged'} end
local s = redis.call('HMGET', KEYS[1], 'd', 'e', 'c')
if not s[1] or not s[2] or s[3] ~= sum(s[1], s[2]) then return {'damaged'} end
local left = tonumber(s[2]) - now
if left <= 0 then
  redis.call('DEL', KEYS[1])
  return false
end
redis.call('PEXPIRE', KEYS[1], math.ceil(math.min(left / 1000, tonumber(ARGV[1]))))
return {s[1], left}`)

// listSession puts a session into its principal's list and returns those that
// are one too many: KEYS[1] the list, ARGV[1] the session, ARGV[2] how long it
// lives at most, in microseconds, ARGV[3] how many may be there. What is no list gives way to one, and an end in a
// hundred years is none.
var listSession = redis.NewScript(store.ServerNow + `
local over = redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if type(over) == 'table' then
  if not string.find(over.err, 'WRONGTYPE', 1, true) then return over end
  redis.call('DEL', KEYS[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('%.0f', now + math.max(3e15, ARGV[2])), 'inf')
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', KEYS[1], math.ceil((tonumber(last[2]) - now) / 1000))
local much = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[3])
if much <= 0 then return {} end
local old = redis.call('ZRANGE', KEYS[1], 0, much - 1)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, much - 1)
return old`)

func (r *redisSessions) sessionKey(key string) string { return r.redis.Prefix + "session:" + key }

// principalKey hashes the principal: it may be anything, an address for
// example.
func (r *redisSessions) principalKey(principal string) string {
	sum := sha256.Sum256([]byte(principal))
	return r.redis.Prefix + "sessions:" + hex.EncodeToString(sum[:])
}

func (r *redisSessions) create(ctx context.Context, key Key, s *Session, idle time.Duration) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	name, client := hex.EncodeToString(key[:]), r.redis.Client
	lasts := max(s.Ends.Sub(r.now()), time.Microsecond).Microseconds()
	err = beginSession.Run(ctx, client, []string{r.sessionKey(name)}, data, lasts, idle.Milliseconds()).Err()
	if err != nil {
		return err
	}
	// The list comes second: a session that RevokeAll misses is one that began
	// after it. One that cannot be listed is given to nobody.
	old, err := listSession.Run(ctx, client, []string{r.principalKey(s.Principal)},
		name, lasts, sessionsPerPrincipal).StringSlice()
	if err != nil {
		return err
	}
	for _, o := range old {
		if err := client.Del(ctx, r.sessionKey(o)).Err(); err != nil {
			return err
		}
	}
	return nil
}

// Use implements Store.
func (r *redisSessions) Use(ctx context.Context, key Key, idle time.Duration) (*Session, error) {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	name := r.sessionKey(hex.EncodeToString(key[:]))
	found, err := useSession.Run(ctx, r.redis.Client, []string{name}, idle.Milliseconds(), mostData).Slice()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(found) == 1 {
		r.redis.Damaged("what is no session counts as none, and its caller has to log in again", "key", name)
		return nil, nil
	}
	if len(found) != 2 {
		return nil, fmt.Errorf("found %d values in the store's answer, expected 2", len(found))
	}
	data, isText := found[0].(string)
	left, isNumber := found[1].(int64)
	if !isText || !isNumber {
		return nil, fmt.Errorf("found %T and %T in the store's answer, expected a text and a number", found[0], found[1])
	}
	s := &Session{Ends: r.now().Add(time.Duration(left) * time.Microsecond)}
	d := json.NewDecoder(strings.NewReader(data))
	d.UseNumber()
	if err := d.Decode(s); err != nil {
		return nil, err
	}
	auth.PlainNumbers(s.Claims)
	s.prepare()
	return s, nil
}

// mostData is above the bytes that a session may have: no gateway reads such a reply.
const mostData = 8 << 20

func (r *redisSessions) ended(ctx context.Context, keys []Key) ([]bool, error) {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	there, err := r.redis.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			p.Exists(ctx, r.sessionKey(hex.EncodeToString(key[:])))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	over := make([]bool, len(keys))
	for i, answer := range there {
		over[i] = answer.(*redis.IntCmd).Val() == 0
	}
	return over, nil
}

// Revoke implements Store.
func (r *redisSessions) Revoke(ctx context.Context, key Key) error {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	// The name stays in the principal's list until its end: revoking it again does
	// no harm.
	return r.redis.Client.Del(ctx, r.sessionKey(hex.EncodeToString(key[:]))).Err()
}

// RevokeAll implements Store.
func (r *redisSessions) RevokeAll(ctx context.Context, principal string) error {
	ctx, cancel := r.redis.Bound(ctx)
	defer cancel()
	list := r.principalKey(principal)
	names, err := r.redis.Client.ZRange(ctx, list, 0, -1).Result()
	if err != nil || len(names) == 0 {
		return err
	}
	_, err = r.redis.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, name := range names {
			p.Del(ctx, r.sessionKey(name))
		}
		// Only those that were read: a login meanwhile keeps its place.
		members := make([]any, len(names))
		for i, name := range names {
			members[i] = name
		}
		p.ZRem(ctx, list, members...)
		return nil
	})
	return err
}
