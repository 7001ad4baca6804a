package keys

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/keptkey"
	"github.com/transom-gateway/transom/policy/store"
)

// Bounds of one page of a list: how many keys Redis looks at for one command, and how many
// commands there are.
const (
	scanCount = 500
	maxScans  = 20
)

var _ keptkey.Store = (*redisAnswers)(nil)

// readShown reads what operators see of a key.
var readShown = fmt.Sprintf(readFields, "'state', 'until', 'key', 'principal', 'rpc', 'begun'")

// lookScript tells of a key what operators see. KEYS: the key. Answer: nothing, or state, key,
// principal, method or route, begun in milliseconds, for how many milliseconds it is kept.
var lookScript = redis.NewScript(store.ServerNow + readShown + `
if not v[1] then return {} end
if v[1] == 'running' and (tonumber(v[2]) or 0) < now then v[1] = 'lost' end
return {v[1], v[3] or '', v[4] or '', v[5] or '', v[6] or '0', tostring(redis.call('PTTL', KEYS[1]))}
`)

// releaseScript forgets a key. KEYS: the key. ARGV: "1" for one in any state. Answer: as that
// of lookScript, and "1" where it was forgotten.
var releaseScript = redis.NewScript(store.ServerNow + readShown + `
if not v[1] then return {} end
if v[1] == 'running' and (tonumber(v[2]) or 0) < now then v[1] = 'lost' end
local gone, left = '0', tostring(redis.call('PTTL', KEYS[1]))
if v[1] ~= 'running' and v[1] ~= 'done' or ARGV[1] == '1' then
  redis.call('DEL', KEYS[1])
  gone = '1'
end
return {v[1], v[3] or '', v[4] or '', v[5] or '', v[6] or '0', left, gone}
`)

// keptKey makes of the answer of a script what operators see.
func keptKey(id string, answer []string) (keptkey.Key, error) {
	if len(answer) < 6 {
		return keptkey.Key{}, keptkey.ErrNone
	}
	k := keptkey.Key{ID: id, Key: answer[1], Principal: answer[2], RPC: answer[3], State: keptkey.Unknown}
	switch answer[0] { // what is none of these is damaged
	case inRedisRunning:
		k.State = keptkey.InFlight
	case inRedisDone:
		k.State = keptkey.Answered
	}
	if begun, err := strconv.ParseInt(answer[4], 10, 64); err == nil && begun > 0 {
		k.Begun = time.UnixMilli(begun)
	}
	if left, err := strconv.ParseInt(answer[5], 10, 64); err == nil && left > 0 && k.State != keptkey.InFlight {
		k.Ends = time.Now().Add(time.Duration(left) * time.Millisecond).Truncate(time.Second)
	}
	return k, nil
}

// isID reports whether a text is the ID of a key.
func isID(id string) bool {
	return len(id) == 2*len(Digest{}) && strings.Trim(id, "0123456789abcdef") == ""
}

// LookUpKey implements keptkey.Store.
func (a *redisAnswers) LookUpKey(ctx context.Context, id string) (keptkey.Key, error) {
	return a.ask(ctx, id, lookScript)
}

// ReleaseKey implements keptkey.Store.
func (a *redisAnswers) ReleaseKey(ctx context.Context, id string, force bool) (keptkey.Key, error) {
	return a.ask(ctx, id, releaseScript, force)
}

// ask runs a script for a key.
func (a *redisAnswers) ask(ctx context.Context, id string, script *redis.Script, args ...any) (keptkey.Key, error) {
	if !isID(id) {
		return keptkey.Key{}, keptkey.ErrNone
	}
	bounded, cancel := a.Bound(ctx)
	defer cancel()
	answer, err := script.Run(bounded, a.Client, []string{a.name(id)}, args...).StringSlice()
	if err != nil {
		return keptkey.Key{}, a.unlisted(err)
	}
	k, err := keptKey(id, answer)
	if err == nil && len(answer) == 7 && answer[6] != "1" {
		err = keptkey.ErrHeld
	}
	return k, err
}

// unlisted is why Redis does not tell.
func (a *redisAnswers) unlisted(err error) error {
	return fmt.Errorf("the store of idempotency keys cannot be used: %s", store.Reason(err, a.Timeout))
}

// errCluster is the error of a list of what no one server has.
var errCluster = errors.New("the keys in a cluster of Redis are not listed: look at one by its id")

// ListKeys implements keptkey.Store.
func (a *redisAnswers) ListKeys(ctx context.Context, f keptkey.Filter, after string, limit int) (list []keptkey.Key, next string, err error) {
	f = reading(f)
	cursor, err := strconv.ParseUint(after, 10, 64)
	if err != nil {
		cursor = 0
	}
	for range maxScans {
		var some []keptkey.Key
		if some, cursor, err = a.scan(ctx, cursor); err != nil {
			return nil, "", err
		}
		for i := range some {
			if k := &some[i]; f.Lists(k) {
				list = append(list, *k)
			}
		}
		if cursor == 0 || len(list) >= limit {
			break
		}
	}
	if cursor != 0 {
		next = strconv.FormatUint(cursor, 10)
	}
	return list, next, nil
}

// scan looks at some keys.
func (a *redisAnswers) scan(ctx context.Context, cursor uint64) ([]keptkey.Key, uint64, error) {
	bounded, cancel := a.Bound(ctx)
	defer cancel()
	if store.IsCluster(a.Client) {
		return nil, 0, errCluster
	}
	names, next, err := a.Client.Scan(bounded, cursor, globEscaper.Replace(a.Prefix)+"idempotency:{*}", scanCount).Result()
	if err != nil {
		return nil, 0, a.unlisted(err)
	}
	if err := lookScript.Load(bounded, a.Client).Err(); err != nil {
		return nil, 0, a.unlisted(err)
	}
	answers := make([]*redis.Cmd, len(names))
	_, _ = a.Client.Pipelined(bounded, func(p redis.Pipeliner) error {
		for i, name := range names {
			answers[i] = lookScript.EvalSha(bounded, p, []string{name})
		}
		return nil // each has its own error
	})
	var list []keptkey.Key
	for i, name := range names {
		answer, err := answers[i].StringSlice()
		if err != nil {
			return nil, 0, a.unlisted(err)
		}
		id := strings.TrimSuffix(strings.TrimPrefix(name, a.Prefix+"idempotency:{"), "}")
		if k, err := keptKey(id, answer); err == nil && isID(id) { // else it is gone meanwhile
			list = append(list, k)
		}
	}
	return list, next, nil
}

// globEscaper writes a text so that a pattern of Redis means itself.
var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// watchScript tells what those who wait for a key have to know. KEYS: the key. Answer: state,
// fingerprint, record.
var watchScript = redis.NewScript(store.ServerNow + readRecord + fmt.Sprintf(readFields, "'state', 'until', 'fingerprint'") + `
if not v[1] then return {'', '', ''} end
if v[1] == 'running' and (tonumber(v[2]) or 0) < now then v[1] = 'lost' end
return {v[1], v[3] or '', record()}
`)

// look looks at a key for those who wait for it.
func (a *redisAnswers) look(ctx context.Context, id Digest) (sight, *Record) {
	bounded, cancel := a.Bound(ctx)
	defer cancel()
	answer, err := watchScript.Run(bounded, a.Client, []string{a.key(id)}).StringSlice()
	if err != nil || len(answer) != 3 {
		return unclear, nil
	}
	switch answer[0] {
	case "":
		return free, nil
	case inRedisRunning:
		return held, nil
	case inRedisDone, inRedisUnknown:
		if r, err := open(id, []byte(answer[2])); err == nil {
			return settled, r
		}
	}
	return unclear, nil
}
