package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisSessions keeps sessions in Redis, shared between gateways. A session is
// one hash ("d": JSON, "e": its end in Unix milliseconds) that expires by
// itself; a sorted set per principal lists the keys of its sessions. Each script
// touches one key, so a cluster can hold them anywhere.
type redisSessions struct {
	redis *redisStore
	now   func() time.Time
}

var _ sessionStore = (*redisSessions)(nil)

// useSession reads a session and lets it live on: KEYS[1] the session, ARGV[1]
// now, ARGV[2] idle time, both in milliseconds.
var useSession = redis.NewScript(`
local s = redis.call('HMGET', KEYS[1], 'd', 'e')
if not s[1] or not s[2] then return false end
local left = tonumber(s[2]) - tonumber(ARGV[1])
if left <= 0 then
  redis.call('DEL', KEYS[1])
  return false
end
redis.call('PEXPIRE', KEYS[1], math.min(left, tonumber(ARGV[2])))
return s[1]`)

// listSession puts a session into its principal's list and returns those that
// are one too many: KEYS[1] the list, ARGV[1] the session, ARGV[2] its end,
// ARGV[3] now, ARGV[4] how many may be there.
var listSession = redis.NewScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], math.floor(tonumber(last[2])))
local much = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[4])
if much <= 0 then return {} end
local old = redis.call('ZRANGE', KEYS[1], 0, much - 1)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, much - 1)
return old`)

func (r *redisSessions) sessionKey(key string) string { return r.redis.prefix + "session:" + key }

// principalKey hashes the principal: it may be anything, an address for
// example.
func (r *redisSessions) principalKey(principal string) string {
	sum := sha256.Sum256([]byte(principal))
	return r.redis.prefix + "sessions:" + hex.EncodeToString(sum[:])
}

func (r *redisSessions) create(ctx context.Context, key sessionKey, s *session, idle time.Duration) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	ctx, cancel := r.redis.bound(ctx)
	defer cancel()
	name, now, client := hex.EncodeToString(key[:]), r.now(), r.redis.client
	_, err = client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, r.sessionKey(name), "d", data, "e", s.Ends.UnixMilli())
		p.PExpire(ctx, r.sessionKey(name), min(idle, s.Ends.Sub(now)))
		return nil
	})
	if err != nil {
		return err
	}
	// The list comes second: a session that revokeAll misses is one that began
	// after it. One that cannot be listed is given to nobody.
	old, err := listSession.Run(ctx, client, []string{r.principalKey(s.Principal)},
		name, s.Ends.UnixMilli(), now.UnixMilli(), sessionsPerPrincipal).StringSlice()
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

func (r *redisSessions) use(ctx context.Context, key sessionKey, idle time.Duration) (*session, error) {
	ctx, cancel := r.redis.bound(ctx)
	defer cancel()
	data, err := useSession.Run(ctx, r.redis.client, []string{r.sessionKey(hex.EncodeToString(key[:]))},
		r.now().UnixMilli(), idle.Milliseconds()).Text()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &session{}
	d := json.NewDecoder(strings.NewReader(data))
	d.UseNumber()
	if err := d.Decode(s); err != nil {
		return nil, err
	}
	plainNumbers(s.Claims)
	s.prepare()
	return s, nil
}

func (r *redisSessions) revoke(ctx context.Context, key sessionKey) error {
	ctx, cancel := r.redis.bound(ctx)
	defer cancel()
	// The name stays in the principal's list until its end: revoking it again does
	// no harm.
	return r.redis.client.Del(ctx, r.sessionKey(hex.EncodeToString(key[:]))).Err()
}

func (r *redisSessions) revokeAll(ctx context.Context, principal string) error {
	ctx, cancel := r.redis.bound(ctx)
	defer cancel()
	list := r.principalKey(principal)
	names, err := r.redis.client.ZRange(ctx, list, 0, -1).Result()
	if err != nil || len(names) == 0 {
		return err
	}
	_, err = r.redis.client.Pipelined(ctx, func(p redis.Pipeliner) error {
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
