// Package peers has gateways that share a Redis drop what one of them drops, of methods and of
// plain HTTP routes alike (Traffic 127, 128).
package peers

import (
	"slices"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
	"github.com/transom-gateway/transom/policy/store"
)

// Answers are those in one gateway's memory, and what is asked for at backends: what is dropped
// that was asked for already is not kept when it comes. Tags are digests, as of tier.TagText.
// It is safe for concurrent use, and comparable.
type Answers interface {
	// Invalidate drops the answers that are about one of the tags, and returns how many there
	// were.
	Invalidate(tags []string) int
	// DropWhere drops answers of methods or routes by rpc, and of principals.
	DropWhere(which func(rpc, principal string) bool)
	// DropTagged drops all that have tags.
	DropTagged()
}

// key is that of a Tier in the State.
type key struct {
	client  any // the connections
	prefix  string
	answers Answers
}

// Of returns the Redis of the configuration, by which the answers are dropped that other
// gateways drop; nil without one.
func Of(s *policy.Scope, of Answers) *tier.Tier {
	if !store.Configured(s.Generation) || s.State.Offline {
		return nil
	}
	r, err := store.Of(s.Generation)
	if err != nil {
		store.Refuse(s.Generation, err)
		return nil
	}
	t, err := policy.Lease(s.Generation, key{r.Client, r.Prefix, of}, func() (*tier.Tier, error) {
		return tier.New(tier.Options{Redis: r, Now: s.State.Now, Log: s.State.Log, Listener: listener{of}}), nil
	})
	if err != nil {
		s.Refuse("cache", "%v", err)
		return nil
	}
	return t
}

// listener hears what other gateways drop.
type listener struct{ answers Answers }

var _ tier.Listener = listener{}

// Dropped implements tier.Listener.
func (l listener) Dropped(about []tier.Digest, wide bool) {
	tags := make([]string, len(about))
	for i := range about {
		tags[i] = string(about[i][:])
	}
	l.answers.Invalidate(tags)
	if !wide {
		return
	}
	is := func(d tier.Digest) bool { return slices.Contains(about, d) }
	l.answers.DropWhere(func(rpc, principal string) bool {
		return is(tier.All) || is(tier.RPC(rpc)) || is(tier.Principal(principal))
	})
}

// Missed implements tier.Listener: what has tags may have been dropped.
func (l listener) Missed() { l.answers.DropTagged() }

// Purge drops answers by hand: by local here, and elsewhere where t is not nil. It returns what
// local does, and false where the others are told when Redis can be used again.
func Purge(t *tier.Tier, p memory.Purge, local func() int) (n int, told bool) {
	if t == nil {
		return local(), true
	}
	return t.Drop([]tier.Digest{tier.Narrowest(p.RPC, p.Tag, p.Principal)}, true, local)
}

// Invalidate drops the answers about tags, here and, where t is not nil, elsewhere.
func Invalidate(t *tier.Tier, tags []string, of Answers) {
	if t == nil {
		of.Invalidate(tags)
		return
	}
	t.Drop(tier.Digests(tags), false, func() int { return of.Invalidate(tags) })
}

// Announce is Invalidate of answers that are in no Redis.
func Announce(t *tier.Tier, tags []string, of Answers) int {
	if t == nil {
		return of.Invalidate(tags)
	}
	return t.Announce(tier.Digests(tags), func() int { return of.Invalidate(tags) })
}
