package grpcgo

import (
	"log/slog"
	"sync"

	"github.com/transom-gateway/transom/proxy/upstream"
)

// Pool holds the connections to all backends. They outlive a reload: each is keyed by
// its target, counted, and closed when nobody uses it any more.
type Pool struct {
	log   *slog.Logger
	mu    sync.Mutex
	conns map[key]*Conn
}

// key tells targets apart. Files are named, not read.
type key struct {
	target upstream.Target // without TLS
	secure bool
	tls    upstream.TLS
}

func keyOf(t upstream.Target) key {
	k := key{target: t, secure: t.TLS != nil}
	if k.secure {
		k.tls = *t.TLS
	}
	k.target.TLS = nil
	return k
}

// NewPool returns an empty pool. The log hears of backends that cannot be reached,
// with addresses and all, and when they are again.
func NewPool(log *slog.Logger) *Pool { return &Pool{log: log, conns: map[key]*Conn{}} }

// Get returns the connection to the target, made now or shared. It does not wait for
// the backend. The caller owes one Release.
func (p *Pool) Get(t upstream.Target) (*Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := keyOf(t)
	if c := p.conns[k]; c != nil {
		c.users++
		return c, nil
	}
	c, err := newConn(t, p.log)
	if err != nil {
		return nil, err
	}
	c.pool, c.key, c.users = p, k, 1
	p.conns[k] = c
	return c, nil
}

// Release gives the connection back; the last one closes it.
func (c *Conn) Release() {
	c.pool.mu.Lock()
	c.users--
	last := c.users == 0
	if last {
		delete(c.pool.conns, c.key)
	}
	c.pool.mu.Unlock()
	if last {
		_ = c.client.Close() // it has not been closed before
		<-c.watched
	}
}
