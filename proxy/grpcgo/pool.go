package grpcgo

import (
	"log/slog"

	"github.com/transom-gateway/transom/internal/counted"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// Pool holds the connections to all backends. They outlive a reload: each is keyed by
// its target, counted, and closed when nobody uses it any more.
type Pool struct {
	log   *slog.Logger
	conns *counted.Pool[upstream.Key, *Conn]
}

// NewPool returns an empty pool. The log hears of backends that cannot be reached,
// with addresses and all, and when they are again.
func NewPool(log *slog.Logger) *Pool { return &Pool{log, counted.NewPool[upstream.Key]((*Conn).close)} }

// Get returns the connection to the target, made now or shared. It does not wait for
// the backend. The caller owes one Release.
func (p *Pool) Get(t upstream.Target) (*Conn, error) {
	return p.conns.Get(t.Key(), func() (*Conn, error) { return newConn(t, p) })
}

// Release gives the connection back; the last one closes it.
func (c *Conn) Release() { _ = c.pool.conns.Release(c.target.Key()) } // it is open, so close does not fail

// close ends all calls, and returns when nothing of the Conn runs any more.
func (c *Conn) close() error {
	err := c.client.Close()
	<-c.watched
	return err
}
