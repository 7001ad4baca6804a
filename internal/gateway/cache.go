package gateway

import (
	"errors"

	"github.com/transom-gateway/transom/policy"
)

// cached is a part of a method whose answers are kept.
type cached interface {
	PurgeAnswers(rpc, tag, principal string) int
}

// addCache notes the store of the answers, which is one for all methods.
func (b *builder) addCache(g *guard) {
	for _, set := range g.sets() {
		if part, ok := policy.Find[cached](set); ok && b.snapshot.cache == nil {
			b.snapshot.cache = part
		}
	}
}

// PurgeCache drops the kept answers of an RPC, with a tag, and of a principal, as far as
// they are not empty. It returns how many it dropped.
func (g *Gateway) PurgeCache(rpc, tag, principal string) (int, error) {
	s := g.acquire()
	if s == nil {
		return 0, errors.New("no configuration has been loaded yet")
	}
	defer s.release()
	if s.cache == nil {
		return 0, errors.New("no method has the policy cache")
	}
	return s.cache.PurgeAnswers(rpc, tag, principal), nil
}
