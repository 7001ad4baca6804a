package tier

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// generation is what was written when answers about something were dropped last: how many
// drops there had been in all, and eight random bytes. The count is 0 where nothing is known
// to have been dropped.
type generation [16]byte

func (g *generation) count() uint64 { return binary.BigEndian.Uint64(g[:8]) }

func newGeneration(count uint64) generation {
	var g generation
	binary.BigEndian.PutUint64(g[:8], count)
	_, _ = rand.Read(g[8:])
	return g
}

// stamp is something that an answer is dropped by, and its generation.
type stamp struct {
	of         Digest
	generation generation
}

// Stamps are the generations of a moment. What is asked of the backend after it may be kept
// with them.
type Stamps struct {
	all []stamp
	// drops is how many drops there had been.
	drops uint64
}

func (s *Stamps) find(d Digest) (generation, bool) { return find(s.all, d) }

func find(all []stamp, d Digest) (generation, bool) {
	i := slices.IndexFunc(all, func(s stamp) bool { return s.of == d })
	if i < 0 {
		return generation{}, false
	}
	return all[i].generation, true
}

// Find looks for an answer, in one round trip where its tags are known before. It returns
// nil for none. about is everything known that the answer may be dropped by. more tells that
// the answer itself names further tags.
//
// The Stamps are nil where Redis could not be asked, with an error unless the call has ended.
func (t *Tier) Find(ctx context.Context, key Key, about []Digest, more bool) (*Stamps, *Record, error) {
	before := t.drops.pending.Load()
	if !t.redis.Health.Ask() {
		return nil, nil, ErrAway
	}
	bounded, cancel := t.redis.Bound(ctx)
	defer cancel()
	p := t.redis.Client.Pipeline()
	name := t.answerKey(key)
	kept, left := p.Get(bounded, name), p.PTTL(bounded, name)
	generations := t.askGenerations(bounded, p, about)
	var drops *redis.StringCmd
	if more {
		drops = p.Get(bounded, t.countKey())
	}
	_, _ = p.Exec(bounded) // each command has its own error
	stamps, err := t.stamps(bounded, about, generations)
	if err == nil && more {
		stamps.drops, err = t.countOf(bounded, drops)
	}
	if err != nil {
		return nil, nil, t.failed(ctx, err)
	}
	if errors.Is(kept.Err(), redis.Nil) {
		return stamps, nil, nil
	}
	raw, err := kept.Bytes()
	if err == nil {
		err = left.Err()
	}
	if err != nil {
		return nil, nil, t.failed(ctx, err)
	}
	r, err := t.read(bounded, raw, left.Val(), about, stamps)
	switch {
	case err != nil:
		return stamps, nil, t.failed(ctx, err)
	case r != nil && (before.concerns(r.stamps) || t.drops.pending.Load().concerns(r.stamps)):
		return stamps, nil, nil // Redis does not know yet that it was dropped
	}
	return stamps, r, nil
}

// read reads an answer, and returns nil for one that was dropped.
func (t *Tier) read(ctx context.Context, raw []byte, left time.Duration, about []Digest, known *Stamps) (*Record, error) {
	r, err := unmarshal(raw)
	if err != nil {
		t.log.Warn("the shared store has an answer of the cache that is none: it is not used", "error", err)
		return nil, nil //nolint:nilerr // it is as if there were none
	}
	var unknown []Digest
	for i := range r.stamps {
		now, ok := known.find(r.stamps[i].of)
		switch {
		case !ok:
			unknown = append(unknown, r.stamps[i].of)
		case now != r.stamps[i].generation:
			return nil, nil
		}
	}
	for _, d := range about { // one that could not be dropped
		if _, ok := find(r.stamps, d); !ok {
			return nil, nil
		}
	}
	if len(unknown) > 0 {
		p := t.redis.Client.Pipeline()
		asked := t.askGenerations(ctx, p, unknown)
		_, _ = p.Exec(ctx)
		for i, d := range unknown {
			now, ok, err := generationOf(asked[i])
			if err != nil {
				return nil, err
			}
			if was, _ := find(r.stamps, d); !ok || now != was {
				return nil, nil
			}
		}
	}
	if !r.age(left, t.now()) {
		return nil, nil
	}
	return r, nil
}

func (t *Tier) askGenerations(ctx context.Context, p redis.Pipeliner, about []Digest) []*redis.StringCmd {
	all := make([]*redis.StringCmd, len(about))
	for i, d := range about {
		all[i] = p.Get(ctx, t.generationKey(d))
	}
	return all
}

// errGeneration is the error of bytes that are no generation.
var errGeneration = errors.New("found no generation of cached answers in the shared store")

func generationOf(c *redis.StringCmd) (g generation, ok bool, _ error) {
	raw, err := c.Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return g, false, nil
	case err != nil:
		return g, false, err
	case len(raw) != len(g):
		return g, false, errGeneration
	}
	return generation(raw), true, nil
}

// stamps reads generations, and writes those that are not there: without one nothing of it
// is valid.
func (t *Tier) stamps(ctx context.Context, about []Digest, asked []*redis.StringCmd) (*Stamps, error) {
	s := &Stamps{all: make([]stamp, len(about))}
	var absent []int
	for i, d := range about {
		g, ok, err := generationOf(asked[i])
		if err != nil {
			return nil, err
		}
		if s.all[i] = (stamp{d, g}); !ok {
			absent = append(absent, i)
		}
	}
	if len(absent) == 0 {
		return s, nil
	}
	p := t.redis.Client.Pipeline()
	again := make([]*redis.StringCmd, len(absent))
	for i, at := range absent {
		key, g := t.generationKey(about[at]), newGeneration(0)
		p.SetNX(ctx, key, g[:], generationLife)
		again[i] = p.Get(ctx, key)
	}
	_, _ = p.Exec(ctx)
	for i, at := range absent {
		g, ok, err := generationOf(again[i])
		if err != nil || !ok {
			return nil, errors.Join(err, errGeneration)
		}
		s.all[at].generation = g
	}
	return s, nil
}

// extend adds the generations of what only the answer names. It reports false where something
// of it was dropped since the moment of the stamps.
func (t *Tier) extend(ctx context.Context, s *Stamps, more []Digest) (*Stamps, bool, error) {
	more = slices.DeleteFunc(slices.Clone(more), func(d Digest) bool { _, ok := s.find(d); return ok })
	if len(more) == 0 {
		return s, true, nil
	}
	p := t.redis.Client.Pipeline()
	asked := t.askGenerations(ctx, p, more)
	_, _ = p.Exec(ctx)
	added, err := t.stamps(ctx, more, asked)
	if err != nil {
		return nil, false, err
	}
	for i := range added.all {
		if added.all[i].generation.count() > s.drops {
			return nil, false, nil
		}
	}
	return &Stamps{slices.Concat(s.all, added.all), s.drops}, true, nil
}

// countScript counts a drop. The count begins with the time, so that one that was lost does
// not go back. KEYS: the count. ARGV: how many
// more.
var countScript = redis.NewScript(`
local n = redis.call('GET', KEYS[1])
if not n then
  local t = redis.call('TIME')
  n = t[1] * 1000000 + t[2]
end
n = string.format('%.0f', n + ARGV[1])
redis.call('SET', KEYS[1], n)
return n
`)

// countOf reads how many drops there were, and begins to count where nobody has.
func (t *Tier) countOf(ctx context.Context, c *redis.StringCmd) (uint64, error) {
	n, err := c.Uint64()
	if errors.Is(err, redis.Nil) {
		return countScript.Run(ctx, t.redis.Client, []string{t.countKey()}, 0).Uint64()
	}
	return n, err
}
