package ratelimit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/policy/store"
)

// takeScript asks several buckets for one token each: all of them give, or
// none. The clock is the server's, in microseconds since 2026, so that a double
// holds a tat with nanoseconds to spare; the slack of at most 100 µs forgives
// what is rounded all the same. A bucket that is ahead of what it can be (the
// clock was set back, the limit made smaller) is cut, for good, to one that has given all its tokens. What is no
// number is as if it were not there.
//
// KEYS: the buckets. ARGV: interval and window of each, in microseconds.
// Answer: for each bucket wait, remaining and reset, the times in microseconds;
// wait is 0 where the bucket has a token. Behind them how many buckets are damaged, where any are.
var takeScript = redis.NewScript(`
local t = redis.call('TIME')
local now = (t[1] - 1767225600) * 1000000 + t[2]
local tats, cut, answer, refused, damaged = {}, {}, {}, false, 0
for i, key in ipairs(KEYS) do
  local interval, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local slack = math.min(interval / 2, 100)
  local kept = redis.pcall('GETRANGE', key, 0, 63)
  local wrong = type(kept) == 'table'
  if wrong and not string.find(kept.err, 'WRONGTYPE', 1, true) then return kept end
  local tat = not wrong and tonumber(kept)
  if not tat or tat ~= tat then
    if kept ~= '' then damaged = damaged + 1 end
    tat = now
  end
  cut[i] = tat > now + window
  tat = math.min(math.max(tat, now), now + window)
  local wait = tat + interval - window - now
  if wait > slack then refused = true else wait = 0 end
  tats[i] = tat
  answer[3 * i - 2] = math.ceil(wait)
  answer[3 * i - 1] = math.floor((window - (tat - now) + slack) / interval)
  answer[3 * i] = math.ceil(tat - now)
end
if damaged > 0 then answer[3 * #KEYS + 1] = damaged end
if refused then
  for i, key in ipairs(KEYS) do
    if cut[i] then redis.call('SET', key, string.format('%.17g', tats[i]), 'PX', math.max(math.ceil((tats[i] - now) / 1000), 1)) end
  end
  return answer
end
for i, key in ipairs(KEYS) do
  local interval = tonumber(ARGV[2 * i - 1])
  local tat = tats[i] + interval
  redis.call('SET', key, string.format('%.17g', tat), 'PX', math.max(math.ceil((tat - now) / 1000), 1))
  answer[3 * i - 1] = math.max(answer[3 * i - 1] - 1, 0)
  answer[3 * i] = math.ceil(tat - now)
end
return answer
`)

// errStoreAway is what sharedBuckets answers without asking.
var errStoreAway = errors.New("the shared store did not answer a moment ago")

// sharedBuckets are the rate limits' counters in Redis, one limit for all
// gateways.
type sharedBuckets struct{ *store.Redis }

// bucketsRequest is one bucket to take a token from.
type bucketsRequest struct {
	rate rate
	// limit is limitDigest of the limit's identity.
	limit  string
	caller caller
}

// limitDigest is a limit's part of its buckets' keys.
func limitDigest(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:8])
}

// key holds no header value and no principal, only digests: what callers are
// called is not Redis's business. The braces make a cluster spread callers over
// its slots.
func (s *sharedBuckets) key(r bucketsRequest) string {
	kind := byte('a')
	if r.caller.text {
		kind = 't'
	}
	b := make([]byte, 0, len(s.Prefix)+64)
	b = append(b, s.Prefix...)
	b = append(b, "rate:{"...)
	b = append(b, r.limit...)
	b = append(b, ':', kind)
	b = strconv.AppendUint(b, r.caller.hi, 16)
	b = append(b, '.')
	b = strconv.AppendUint(b, r.caller.lo, 16)
	return string(append(b, '}'))
}

// take asks all buckets in one round trip, within the store's timeout. They
// give a token each, or none does. In a cluster, where the buckets live on
// different servers, each is asked for itself, all at the same time, and where
// one refuses the others are refunded.
func (s *sharedBuckets) take(ctx context.Context, requests []bucketsRequest) ([]verdict, error) {
	if !s.Health.Ask() {
		return nil, errStoreAway
	}
	bounded, cancel := s.Bound(ctx)
	defer cancel()
	verdicts, err := s.takeSome(bounded, requests)
	if err == nil {
		return verdicts, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // the client went away; that says nothing about the store
	}
	s.Health.Failed()
	return nil, err
}

// takeSome asks for all at once where that is possible. One server cannot tell
// that it belongs to a cluster before it is asked.
func (s *sharedBuckets) takeSome(ctx context.Context, requests []bucketsRequest) ([]verdict, error) {
	if len(requests) == 1 || !store.IsCluster(s.Client) {
		verdicts, err := s.takeAll(ctx, requests)
		if err == nil || !store.IsCrossSlot(err) {
			return verdicts, err
		}
	}
	return s.takeEach(ctx, requests)
}

func (s *sharedBuckets) takeAll(ctx context.Context, requests []bucketsRequest) ([]verdict, error) {
	keys := make([]string, len(requests))
	args := make([]any, 0, 2*len(requests))
	for i, r := range requests {
		keys[i] = s.key(r)
		args = append(args, micros(r.rate.interval), micros(r.rate.window))
	}
	answer, err := takeScript.Run(ctx, s.Client, keys, args...).Int64Slice()
	if err != nil {
		return nil, err
	}
	if len(answer) == 3*len(requests)+1 {
		s.Damaged("what is no count of a rate limit counts as none")
		answer = answer[:3*len(requests)]
	}
	if len(answer) != 3*len(requests) {
		return nil, fmt.Errorf("found %d numbers in the store's answer, expected %d", len(answer), 3*len(requests))
	}
	verdicts := make([]verdict, len(requests))
	for i := range verdicts {
		wait, remaining, reset := answer[3*i], answer[3*i+1], answer[3*i+2]
		verdicts[i] = verdict{
			known:     true,
			refused:   wait > 0,
			remaining: remaining,
			wait:      time.Duration(wait) * time.Microsecond,
			reset:     time.Duration(reset) * time.Microsecond,
		}
	}
	return verdicts, nil
}

// takeEach asks each bucket for itself.
func (s *sharedBuckets) takeEach(ctx context.Context, requests []bucketsRequest) ([]verdict, error) {
	verdicts, failures := make([]verdict, len(requests)), make([]error, len(requests))
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			one, err := s.takeAll(ctx, requests[i:i+1])
			if failures[i] = err; err == nil {
				verdicts[i] = one[0]
			}
		})
	}
	all.Wait()
	err := errors.Join(failures...)
	if err == nil && !anyRefused(verdicts) {
		return verdicts, nil
	}
	for i, v := range verdicts {
		if v.known && !v.refused {
			s.refund(ctx, requests[i])
			verdicts[i].remaining++
		}
	}
	return verdicts, err
}

func anyRefused(verdicts []verdict) bool {
	return slices.ContainsFunc(verdicts, func(v verdict) bool { return v.refused })
}

// refundScript gives one token back, to a bucket that is still there.
var refundScript = redis.NewScript(`
local tat = redis.pcall('GETRANGE', KEYS[1], 0, 63)
tat = type(tat) == 'string' and tonumber(tat)
if tat then redis.call('SET', KEYS[1], string.format('%.17g', tat - ARGV[1]), 'KEEPTTL') end
return 0
`)

// refund is best effort: a token that is lost comes back with time.
func (s *sharedBuckets) refund(ctx context.Context, r bucketsRequest) {
	_ = refundScript.Run(ctx, s.Client, []string{s.key(r)}, micros(r.rate.interval)).Err()
}

// micros writes a duration as microseconds with all its digits.
func micros(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/1e3, 'f', -1, 64)
}
