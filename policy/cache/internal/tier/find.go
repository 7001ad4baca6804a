package tier

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/policy/store"
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
	kept, left := p.GetRange(bounded, name, 0, maxRecord), p.PTTL(bounded, name)
	generations := t.askGenerations(bounded, p, about)
	var drops *redis.StringCmd
	if more {
		drops = p.GetRange(bounded, t.countKey(), 0, int64(len(mostCount)))
	}
	_, _ = p.Exec(bounded) // each command has its own error
	stamps, err := t.stamps(bounded, about, generations)
	if err == nil && more {
		stamps.drops, err = t.countOf(bounded, drops)
	}
	if err != nil {
		return nil, nil, t.failed(ctx, err)
	}
	raw, err := kept.Bytes()
	if err == nil {
		err = left.Err()
	}
	switch {
	case store.IsDamage(err):
		t.redis.Damaged(noAnswer, "key", name)
		return stamps, nil, nil // what is written next takes its place
	case err != nil:
		return nil, nil, t.failed(ctx, err)
	case len(raw) == 0:
		return stamps, nil, nil
	}
	r, err := t.read(bounded, key, raw, left.Val(), about, stamps)
	switch {
	case err != nil:
		return stamps, nil, t.failed(ctx, err)
	case r != nil && (before.concerns(r.stamps) || t.drops.pending.Load().concerns(r.stamps)):
		return stamps, nil, nil // Redis does not know yet that it was dropped
	}
	return stamps, r, nil
}

// read reads an answer, and returns nil for one that was dropped.
func (t *Tier) read(ctx context.Context, key Key, raw []byte, left time.Duration, about []Digest, known *Stamps) (*Record, error) {
	r, err := unmarshal(key, raw)
	if err != nil {
		t.redis.Damaged(noAnswer, "key", t.answerKey(key))
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
		all[i] = p.GetRange(ctx, t.generationKey(d), 0, int64(len(generation{})))
	}
	return all
}

// noAnswer is what the log says of a damaged answer.
const noAnswer = "an answer of the cache that is none is not used"

// errGeneration is the error of what is no generation.
var errGeneration = errors.New("found no generation of cached answers in the shared store")

// generationOf reads a generation. ok is false for none.
func generationOf(c *redis.StringCmd) (g generation, ok bool, _ error) {
	raw, err := c.Bytes()
	switch {
	case store.IsDamage(err):
		return g, false, errGeneration
	case err != nil, len(raw) == 0:
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
	all := make([]int, len(about))
	for i, d := range about {
		s.all[i].of, all[i] = d, i
	}
	absent, damaged, err := s.take(all, asked)
	if err != nil {
		return nil, err
	}
	if len(absent) > 0 {
		empty, more, err := s.take(absent, t.writeGenerations(ctx, s, absent, func(p redis.Pipeliner, key string) {
			g := newGeneration(0)
			p.SetNX(ctx, key, g[:], generationLife)
		}))
		if err != nil {
			return nil, err
		}
		damaged = slices.Concat(damaged, empty, more)
	}
	if len(damaged) == 0 {
		return s, nil
	}
	t.redis.Damaged("what answers of the cache are dropped by is written anew", "key", t.generationKey(s.all[damaged[0]].of))
	count, err := t.count(ctx, 1) // what is damaged may have been the one of a drop, and counts as one
	if err != nil {
		return nil, err
	}
	absent, damaged, err = s.take(damaged, t.writeGenerations(ctx, s, damaged, func(p redis.Pipeliner, key string) {
		g := newGeneration(count)
		p.Set(ctx, key, g[:], generationLife)
	}))
	if err == nil && len(absent)+len(damaged) > 0 {
		err = errGeneration
	}
	return s, err
}

// take takes generations for some of the stamps, and returns those which have none, or
// something else in its place.
func (s *Stamps) take(which []int, asked []*redis.StringCmd) (absent, damaged []int, _ error) {
	for n, i := range which {
		g, ok, err := generationOf(asked[n])
		switch s.all[i].generation = g; {
		case errors.Is(err, errGeneration):
			damaged = append(damaged, i)
		case err != nil:
			return nil, nil, err
		case !ok:
			absent = append(absent, i)
		}
	}
	return absent, damaged, nil
}

// writeGenerations writes those of some of the stamps, and reads what is there then.
func (t *Tier) writeGenerations(ctx context.Context, s *Stamps, which []int, one func(p redis.Pipeliner, key string)) []*redis.StringCmd {
	p := t.redis.Client.Pipeline()
	about := make([]Digest, len(which))
	for n, i := range which {
		about[n] = s.all[i].of
		one(p, t.generationKey(about[n]))
	}
	asked := t.askGenerations(ctx, p, about)
	_, _ = p.Exec(ctx) // each command has its own error
	return asked
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

// countScript counts a drop. The count begins with the time, so that one that was lost or
// damaged does not go back. KEYS: the count. ARGV: how many more.
var countScript = redis.NewScript(`
local n = redis.pcall('GET', KEYS[1])
n = type(n) == 'string' and string.match(n, '^%d+$') and tonumber(n)
if not n or n >= ` + mostCount + ` then
  local t = redis.call('TIME')
  n = t[1] * 1000000 + t[2]
end
n = string.format('%.0f', n + ARGV[1])
redis.call('SET', KEYS[1], n)
return n
`)

// mostCount is above every count: to it Lua's numbers are whole ones.
const mostCount = "9007199254740992"

// errCount is the error of what is no count.
var errCount = errors.New("found no count of dropped answers in the shared store")

// count counts so many drops more, and returns how many there were then.
func (t *Tier) count(ctx context.Context, more int) (uint64, error) {
	n, err := countScript.Run(ctx, t.redis.Client, []string{t.countKey()}, more).Text()
	if err != nil {
		return 0, err
	}
	count, ok := parseCount(n)
	if !ok {
		return 0, errCount
	}
	return count, nil
}

func parseCount(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 53)
	return n, err == nil
}

// countOf reads how many drops there were, and begins to count where nobody has, or where
// what is there is no count.
func (t *Tier) countOf(ctx context.Context, c *redis.StringCmd) (uint64, error) {
	text, err := c.Result()
	if err != nil && !store.IsDamage(err) {
		return 0, err
	}
	if n, ok := parseCount(text); ok {
		return n, nil
	}
	if text != "" || err != nil {
		t.redis.Damaged("drops of the cache are counted anew", "key", t.countKey())
	}
	return t.count(ctx, 0)
}
