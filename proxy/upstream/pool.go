package upstream

import (
	"log/slog"
	"sync"
)

// Pool holds the connections to all backends. They outlive a reload: each is
// keyed by its target, counted, and closed when nobody uses it any more.
type Pool struct {
	log   *slog.Logger
	mu    sync.Mutex
	conns map[string]*Conn
}

// NewPool returns an empty pool. The log hears of backends that cannot be reached,
// with addresses and all, and when they are again.
func NewPool(log *slog.Logger) *Pool { return &Pool{log: log, conns: map[string]*Conn{}} }

// Get returns the connection to the target, made now or shared. It does not
// wait for the backend. The caller owes one Release.
func (p *Pool) Get(t Target) (*Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := t.key()
	if c := p.conns[key]; c != nil {
		c.users++
		return c, nil
	}
	c, err := newConn(t, p.log)
	if err != nil {
		return nil, err
	}
	c.pool, c.key, c.users = p, key, 1
	p.conns[key] = c
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
		c.close()
	}
}
