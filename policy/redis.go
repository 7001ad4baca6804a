package policy

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var errStateClosed = errors.New("the gateway is shutting down")

// defaultRedisTimeout is the longest one command may take where the
// configuration says nothing.
const defaultRedisTimeout = 50 * time.Millisecond

// redisStore is the configuration's stores.redis, connected.
type redisStore struct {
	client redis.UniversalClient
	// timeout is for one command, connecting and waiting for a connection included.
	timeout time.Duration
	// prefix stands in front of every key.
	prefix string
}

// redisKey is what a client is about: two generations with the same one share
// its connections.
type redisKey struct {
	url     string
	timeout time.Duration
}

// hasRedis tells whether the configuration names a Redis.
func (c *Compiler) hasRedis() bool { return c.env.Config.GetStores().GetRedis().GetUrl() != "" }

// redis connects to stores.redis, lazily: a Redis that is away is found out by
// commands. The error is one of the configuration.
func (c *Compiler) redis() (*redisStore, error) {
	config := c.env.Config.GetStores().GetRedis()
	address, err := c.secret(config.GetUrl())
	if err != nil {
		return nil, err
	}
	s := &redisStore{timeout: defaultRedisTimeout, prefix: "transom:"}
	if config.GetTimeout() != nil {
		s.timeout = config.GetTimeout().AsDuration()
	}
	if config.GetKeyPrefix() != "" {
		s.prefix = config.GetKeyPrefix()
	}
	s.client, err = lease(c, redisKey{address, s.timeout}, func() (redis.UniversalClient, error) {
		return openRedis(address, s.timeout)
	})
	return s, err
}

// openRedis reads a URL as go-redis does; one with further addresses ("?addr=…")
// is a cluster.
func openRedis(address string, timeout time.Duration) (redis.UniversalClient, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("stores.redis.url is no URL; expected redis://host:port/db, rediss:// or unix:///path")
	}
	if parsed.Query().Has("addr") {
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, fmt.Errorf("stores.redis.url: %w", err)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
		o.ContextTimeoutEnabled = true
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, fmt.Errorf("stores.redis.url: %w", err)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = 1
	return redis.NewClient(o), nil
}

// bound gives a command its time, retries included.
func (s *redisStore) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// secret reads a value of the configuration that may be "file:PATH".
func (c *Compiler) secret(value string) (string, error) {
	name, ok := strings.CutPrefix(value, "file:")
	if !ok {
		return value, nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.env.Directory, name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(data)), nil
}
