package upstream

import (
	"log/slog"

	"github.com/transom-gateway/transom/internal/counted"
)

// Pool holds the connections to all backends. They outlive a reload: each is
// keyed by its target, counted, and closed when nobody uses it any more.
type Pool struct {
	log    *slog.Logger
	listed func() // called when ListNotReloaded of a Conn may have changed
	conns  *counted.Pool[Key, *Conn]
	secret [32]byte // of tickets
}

// NewPool returns an empty pool. The log hears of backends that cannot be reached,
// with addresses and all, and when they are again.
func NewPool(log *slog.Logger) *Pool {
	return &Pool{log, func() {}, counted.NewPool[Key]((*Conn).close), newSecret()}
}

// OnList has f called whenever ListNotReloaded of a connection may say something else,
// from a goroutine of its own. Call it before the first Get.
func (p *Pool) OnList(f func()) { p.listed = func() { go f() } }

// Get returns the connection to the target, made now or shared. It does not
// wait for the backend. The caller owes one Release.
func (p *Pool) Get(t Target) (*Conn, error) {
	return p.conns.Get(t.Key(), func() (*Conn, error) { return newConn(t, p) })
}

// Release gives the connection back; the last one closes it.
func (c *Conn) Release() { _ = c.pool.conns.Release(c.target.Key()) } // close never fails
