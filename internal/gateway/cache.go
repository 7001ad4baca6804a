package gateway

import (
	"errors"
	"fmt"
	"slices"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/s3fifo"
	"github.com/transom-gateway/transom/policy"
)

// answersKept is a part that knows the memory of all answers.
type answersKept interface {
	AnswersUsage() s3fifo.Usage
}

// cached is a part of a method whose answers are kept.
type cached interface {
	answersKept
	PurgeAnswers(rpc, tag, principal string) (n int, told bool)
}

// cachedRoute is a part of a plain HTTP route whose answers are kept.
type cachedRoute interface {
	answersKept
	PurgeRoutes(rpc, tag, principal string) (n int, told bool)
}

// addCache notes the stores of the answers: there is one for all methods and one for all
// routes.
func (b *builder) addCache(g *guard) {
	known := false
	for _, set := range g.sets() {
		if part, ok := policy.Find[cached](set); ok {
			known = true
			if b.snapshot.cache == nil {
				b.snapshot.cache = part
			}
		}
		if part, ok := policy.Find[cachedRoute](set); ok {
			known = true
			if b.snapshot.cachedRoutes == nil {
				b.snapshot.cachedRoutes = part
			}
		}
	}
	if known {
		b.snapshot.cacheNames = append(b.snapshot.cacheNames, g.name)
	}
}

// PurgeCache drops the kept answers of an RPC, with a tag, and of a principal, as far as
// they are not empty. It returns how many it dropped here, and whether other gateways were told to
// drop theirs, if there is a Redis by which to tell them: else they are when it can be used again.
func (g *Gateway) PurgeCache(rpc, tag, principal string) (dropped int, told bool, _ error) {
	s := g.acquire()
	if s == nil {
		return 0, false, errors.New("no configuration has been loaded yet")
	}
	defer s.release()
	if s.cache == nil && s.cachedRoutes == nil {
		return 0, false, errors.New("neither a method nor a route has the policy cache")
	}
	if rpc != "" && !slices.Contains(s.cacheNames, rpc) {
		return 0, false, errors.New(unnamed(s.cacheNames, rpc, "cache"))
	}
	if tag != "" && !s.knowsTag(tag) {
		return 0, false, s.errUnknownTag(tag)
	}
	told = true
	add := func(n int, ok bool) {
		dropped += n
		told = told && ok
	}
	if s.cache != nil {
		add(s.cache.PurgeAnswers(rpc, tag, principal))
	}
	if s.cachedRoutes != nil {
		add(s.cachedRoutes.PurgeRoutes(rpc, tag, principal))
	}
	return dropped, told, nil
}

// unnamed says that a name is none of those of the methods and routes with a policy.
func unnamed(names []string, rpc, of string) string {
	meant := nearest.Of(names, rpc)
	if meant == "" {
		meant = nearestLast(names, rpc)
	}
	if meant != "" {
		return fmt.Sprintf("%q is no method or route with the policy %s; did you mean %q?", rpc, of, meant)
	}
	return fmt.Sprintf("%q is no method or route with the policy %s, as %q is", rpc, of, names[0])
}

// observeAnswers tells the metrics how full the memory of answers is; ok is false where the
// configuration in service keeps none.
func (g *Gateway) observeAnswers() (u s3fifo.Usage, ok bool) {
	s := g.acquire()
	if s == nil {
		return u, false
	}
	defer s.release()
	switch {
	case s.cache != nil:
		return s.cache.AnswersUsage(), true
	case s.cachedRoutes != nil:
		return s.cachedRoutes.AnswersUsage(), true
	}
	return u, false
}
