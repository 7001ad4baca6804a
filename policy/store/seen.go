package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// errLeftAlone is the error of a store that did not answer a moment ago.
var errLeftAlone = errors.New("the shared store did not answer a moment ago")

// Seen is names that all gateways remember for a while. Redis gets digests of them.
type Seen struct {
	redis *Redis
	kind  string
	ttl   time.Duration
}

// Seen returns the names of a kind, which are remembered for that long.
func (s *Redis) Seen(kind string, ttl time.Duration) *Seen { return &Seen{s, kind, ttl} }

func (s *Seen) key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return s.redis.Prefix + s.kind + ":" + hex.EncodeToString(sum[:16])
}

// Has reports which names are remembered. It asks once for all.
func (s *Seen) Has(ctx context.Context, names []string) ([]bool, error) {
	all, err := s.ask(ctx, names, func(ctx context.Context, p redis.Pipeliner, key string) { p.Exists(ctx, key) })
	if err != nil {
		return nil, err
	}
	has := make([]bool, len(names))
	for i, cmd := range all {
		n, ok := cmd.(*redis.IntCmd)
		has[i] = ok && n.Val() > 0
	}
	return has, nil
}

// Add has names remembered.
func (s *Seen) Add(ctx context.Context, names []string) error {
	_, err := s.ask(ctx, names, func(ctx context.Context, p redis.Pipeliner, key string) { p.Set(ctx, key, "", s.ttl) })
	return err
}

// ask sends one command for each name, all at once, within the store's timeout.
func (s *Seen) ask(ctx context.Context, names []string, command func(ctx context.Context, p redis.Pipeliner, key string)) ([]redis.Cmder, error) {
	if !s.redis.Health.Ask() {
		return nil, errLeftAlone
	}
	bounded, cancel := s.redis.Bound(ctx)
	defer cancel()
	all, err := s.redis.Client.Pipelined(bounded, func(p redis.Pipeliner) error {
		for _, name := range names {
			command(bounded, p, s.key(name))
		}
		return nil
	})
	if err != nil && ctx.Err() == nil { // a client that went away says nothing of the store
		s.redis.Health.Failed()
	}
	return all, err
}
