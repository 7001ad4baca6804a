package store

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// nodeClient is a client of one server that may turn out to be a cluster's
// node: its answer then says so, and from there on the commands go to the
// cluster. A command that found it out is sent again, so nobody notices; a
// server that is no cluster is asked nothing more than without this.
type nodeClient struct {
	*redis.Client
	cluster clusterFinder
}

var _ redis.UniversalClient = (*nodeClient)(nil)

// newNodeClient adds the search for a cluster to a client's options. They must
// name an address of TCP. The outer hook sees commands as their callers do.
func newNodeClient(o *redis.Options, outer redis.Hook) *nodeClient {
	c := &nodeClient{Client: redis.NewClient(o)}
	c.cluster.options = clusterOptions(o)
	c.AddHook(outer)
	c.AddHook(&c.cluster)
	return c
}

// Close closes the connections to the node and to the cluster.
func (c *nodeClient) Close() error {
	err := c.Client.Close()
	if more := c.cluster.close(); err == nil {
		err = more
	}
	return err
}

// clusterOptions are those of a client of the cluster that a node belongs to.
func clusterOptions(o *redis.Options) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs: []string{o.Addr}, ClientName: o.ClientName, Protocol: o.Protocol,
		Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, PoolTimeout: o.PoolTimeout,
		DialerRetries: o.DialerRetries, MaxRetries: o.MaxRetries, ContextTimeoutEnabled: o.ContextTimeoutEnabled,
		PoolFIFO: o.PoolFIFO, PoolSize: o.PoolSize, MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns,
		MaxActiveConns: o.MaxActiveConns, ConnMaxIdleTime: o.ConnMaxIdleTime, ConnMaxLifetime: o.ConnMaxLifetime,
		DisableIdentity: o.DisableIdentity, MaintNotificationsConfig: o.MaintNotificationsConfig,
		NewClient: newBoundedNode,
	}
}

// IsCluster reports whether several keys may live on several servers.
func IsCluster(c redis.UniversalClient) bool {
	switch c := c.(type) {
	case *redis.ClusterClient:
		return true
	case *nodeClient:
		return c.cluster.found.Load() != nil
	}
	return false
}

// clusterFinder is the hook of a nodeClient.
type clusterFinder struct {
	options *redis.ClusterOptions
	found   atomic.Pointer[redis.ClusterClient]

	mu     sync.Mutex
	closed bool
}

var _ redis.Hook = (*clusterFinder)(nil)

// DialHook changes nothing.
func (*clusterFinder) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook sends a command to the cluster where there is one.
func (f *clusterFinder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cluster := f.found.Load(); cluster != nil {
			return cluster.Process(ctx, cmd)
		}
		err := next(ctx, cmd)
		if cluster := f.find(err); cluster != nil && !IsCrossSlot(err) {
			return cluster.Process(ctx, cmd)
		}
		return err
	}
}

// ProcessPipelineHook sends commands to the cluster where there is one.
func (f *clusterFinder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cluster := f.found.Load(); cluster != nil {
			return sendAll(ctx, cluster, cmds)
		}
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			// A transaction with a refused command ends with EXECABORT, which alone says
			// nothing.
			if cluster := f.find(cmd.Err()); cluster != nil {
				return sendAll(ctx, cluster, cmds)
			}
		}
		return err
	}
}

// sendAll sends commands as they came: a transaction stands between MULTI and
// EXEC, which the cluster's client puts there itself.
func sendAll(ctx context.Context, cluster *redis.ClusterClient, cmds []redis.Cmder) error {
	pipelined := cluster.Pipelined
	if len(cmds) > 2 && cmds[0].Name() == "multi" {
		pipelined, cmds = cluster.TxPipelined, cmds[1:len(cmds)-1]
	}
	_, err := pipelined(ctx, func(p redis.Pipeliner) error {
		for _, cmd := range cmds {
			_ = p.Process(ctx, cmd) // it is put into a list, no more
		}
		return nil
	})
	return err
}

// find opens the client of the cluster if an error can only come from a node of
// one; nil if it does not.
func (f *clusterFinder) find(err error) *redis.ClusterClient {
	if err == nil || !isMoved(err) && !IsCrossSlot(err) {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	if f.found.Load() == nil {
		f.found.Store(redis.NewClusterClient(f.options))
	}
	return f.found.Load()
}

func (f *clusterFinder) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if cluster := f.found.Load(); cluster != nil {
		return cluster.Close()
	}
	return nil
}

// isMoved tells that a key lives at another node, or goes there now.
func isMoved(err error) bool {
	return strings.HasPrefix(err.Error(), "MOVED ") || strings.HasPrefix(err.Error(), "ASK ")
}

// IsCrossSlot tells that the keys of one command live in several slots.
func IsCrossSlot(err error) bool { return strings.HasPrefix(err.Error(), "CROSSSLOT ") }
