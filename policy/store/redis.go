// Package store is the Redis that policies share: one client for each URL and generation
// of the configuration, which finds out by itself that it speaks to a cluster, and a log
// that says when it cannot be used.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
)

// defaultRedisTimeout is the longest one command may take where the
// configuration says nothing.
const defaultRedisTimeout = 50 * time.Millisecond

// Redis is the configuration's stores.redis, connected.
type Redis struct {
	Client redis.UniversalClient
	// Timeout is for one command, connecting and waiting for a connection included.
	Timeout time.Duration
	// Prefix stands in front of every key.
	Prefix string
	// Health says whether to ask at all; whoever asks tells it of failures.
	Health *Health

	damages *damages // nil: told to nobody
}

// redisKey is what a client is about: two generations with the same one share
// its connections.
type redisKey struct {
	url     string
	timeout time.Duration
}

// Configured reports whether the configuration names a Redis.
func Configured(g *policy.Generation) bool { return g.Config.GetStores().GetRedis().GetUrl() != "" }

// Of connects to stores.redis, lazily: a Redis that is away is found out by
// commands. The error is one of the configuration.
func Of(g *policy.Generation) (*Redis, error) {
	config := g.Config.GetStores().GetRedis()
	address, err := g.Secret(config.GetUrl())
	if err != nil {
		return nil, err
	}
	s := &Redis{Timeout: defaultRedisTimeout, Prefix: "transom:"}
	if config.GetTimeout() != nil {
		s.Timeout = config.GetTimeout().AsDuration()
		if s.Timeout < time.Millisecond {
			return nil, &fieldError{"stores.redis.timeout", fmt.Errorf("found %v, expected 1ms at least", span.Text(s.Timeout))}
		}
	}
	if config.GetKeyPrefix() != "" {
		s.Prefix = config.GetKeyPrefix()
	}
	client, err := policy.Lease(g, redisKey{address, s.Timeout}, func() (*reported, error) {
		report := func(why string) { g.State.StoreAway("redis "+shown(address), why) }
		client, err := openRedis(address, &storeLog{log: g.State.Log, now: g.State.Now, begun: g.State.Now(), timeout: s.Timeout, report: report})
		if err != nil {
			return nil, err
		}
		return &reported{client, NewHealth(g.State.Now, probe(client, s.Timeout)), &damages{log: g.State.Log, now: g.State.Now}, report}, nil
	})
	if err != nil {
		return nil, err
	}
	s.Client, s.Health, s.damages = client, client.health, client.damages
	return s, nil
}

// fieldError is an error at a field of the configuration.
type fieldError struct {
	field string
	error
}

// Unwrap returns the error without its place.
func (e *fieldError) Unwrap() error { return e.error }

// Refuse notes an error of Of at the field of the configuration that it is of: once, however many
// methods and routes need the Redis.
func Refuse(g *policy.Generation, err error) {
	at := &fieldError{"stores.redis.url", err}
	_ = errors.As(err, &at)
	g.RefuseConfig(at.field, at.error)
}

// probe asks a Redis whether it is back.
func probe(client redis.UniversalClient, timeout time.Duration) func() bool {
	return func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		return client.Ping(ctx).Err() == nil
	}
}

// reported is a client whose state is told of as long as it is used.
type reported struct {
	redis.UniversalClient
	health  *Health
	damages *damages
	report  func(why string)
}

// Close closes the client; nothing is said of it any more.
func (r *reported) Close() error {
	err := r.UniversalClient.Close()
	r.report("")
	return err
}

// shown is the address in a URL of a Redis, without its credentials.
func shown(address string) string {
	parsed, err := url.Parse(address)
	switch {
	case err != nil:
		return "(no URL)"
	case parsed.Host == "":
		return parsed.Path
	}
	return parsed.Host
}

// ServerNow begins scripts that go by its clock: now is the server's time in microseconds, which
// a double holds exactly until the year 2255.
const ServerNow = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
`

// redisDialTimeout bounds connecting, which goes on in the background when the
// command that wanted it has given up: a handshake may take longer than a command.
const redisDialTimeout = 5 * time.Second

// openRedis reads a URL as go-redis does; one with further addresses ("?addr=…")
// is a cluster, as is one of a server that turns out to be a cluster's node.
func openRedis(address string, log *storeLog) (redis.UniversalClient, error) {
	timeout := log.timeout
	quietRedis()
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("found no URL, expected redis://host:port/db, rediss://… or unix:///path")
	}
	// One attempt: whoever calls next tries again, and nobody waits meanwhile.
	const attempts, retries = 1, 1
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if parsed.Query().Has("addr") {
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, fmt.Errorf("found no URL of a cluster: %w", WithoutURL(err))
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisDialTimeout, timeout, timeout, timeout
		o.DialerRetries, o.MaxRetries, o.ContextTimeoutEnabled = attempts, retries, true
		o.DisableIdentity, o.MaintNotificationsConfig, o.NewClient = true, quiet, newBoundedNode
		client := redis.NewClusterClient(o)
		client.AddHook(log)
		return client, nil
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, fmt.Errorf("found no URL of a Redis: %w", WithoutURL(err))
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisDialTimeout, timeout, timeout, timeout
	o.DialerRetries, o.MaxRetries, o.ContextTimeoutEnabled = attempts, retries, true
	o.DisableIdentity, o.MaintNotificationsConfig = true, quiet
	bounded(o)
	if o.Network == "unix" {
		client := redis.NewClient(o) // a cluster's nodes talk TCP
		client.AddHook(log)
		return client, nil
	}
	return newNodeClient(o, log), nil
}

// WithoutURL takes the URL out of an error: it may hold a password or a token.
func WithoutURL(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

// quietRedis sends what go-redis says to the log, where it is asked for: it
// would write to standard error, a line for each attempt to connect.
var quietRedis = sync.OnceFunc(func() { redis.SetLogger(redisLog{}) })

type redisLog struct{}

func (redisLog) Printf(ctx context.Context, format string, args ...any) {
	if log := slog.Default(); log.Enabled(ctx, slog.LevelDebug) {
		log.DebugContext(ctx, fmt.Sprintf(format, args...))
	}
}

// Bound gives a command its time, retries included.
func (s *Redis) Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.Timeout)
}
