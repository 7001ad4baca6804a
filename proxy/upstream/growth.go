package upstream

import (
	"slices"
	"time"

	"github.com/transom-gateway/transom/proxy/transport"
)

const (
	// defaultMaxConnections is how many connections to an endpoint there are at most
	// where the target does not say.
	defaultMaxConnections = 10
	// unneededTime is how long a connection beyond the target's is kept without need, and
	// needInterval how often that is looked at.
	unneededTime = time.Minute
	needInterval = 10 * time.Second
)

// connections are how many each endpoint has, and how many at most (Traffic 169).
func (t Target) connections() (least, most int) {
	least = max(1, t.Connections)
	if most = t.MaxConnections; most == 0 {
		most = defaultMaxConnections
	}
	return least, max(least, most)
}

// nearlyFull is told that a connection of the endpoint has nearly all the streams that the
// server allows. It must not wait: the connection calls it.
func (c *Conn) nearlyFull(e *Endpoint) {
	if e.widening.CompareAndSwap(false, true) {
		c.work.Go(func() { c.widen(e) })
	}
}

// widen makes one connection more where all that there are are nearly full.
func (c *Conn) widen(e *Endpoint) {
	e.widening.Store(false) // before looking: who comes later looks again
	c.mu.Lock()
	defer c.mu.Unlock()
	_, most := c.target.connections()
	full := !slices.ContainsFunc(e.links, func(l *link) bool { return l.conn == nil || !l.conn.Busy() })
	if !full || len(e.links) >= most || c.ctx.Err() != nil || e.retired {
		return
	}
	l := c.connect(e)
	l.needed = time.Now()
	e.links = append(e.links, l)
	if c.narrowing == nil {
		c.narrowing = time.AfterFunc(needInterval, func() { c.narrow(time.Now()) })
	}
}

// narrow ends the connections that were made beyond the target's and have not been needed
// for a while; their calls may finish.
func (c *Conn) narrow(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.narrowing == nil || c.ctx.Err() != nil {
		return
	}
	c.narrowing = nil
	least, _ := c.target.connections()
	wide := false
	for _, e := range slices.Concat(c.endpoints, c.vanished) {
		e.need(now)
		for len(e.links) > least && now.Sub(e.links[len(e.links)-1].needed) >= unneededTime {
			last := len(e.links) - 1
			e.links[last].retire()
			e.links = slices.Delete(e.links, last, last+1)
		}
		e.publish()
		wide = wide || len(e.links) > least
	}
	if wide {
		c.narrowing = time.AfterFunc(needInterval, func() { c.narrow(time.Now()) })
	}
}

// need notes which of the connections it would take for the calls under way: those that
// would have all before them nearly full. The mu of the Conn is held.
func (e *Endpoint) need(now time.Time) {
	active, allowed := int(e.Active()), uint64(0)
	for i, l := range e.links {
		if i == 0 || transport.Busy(active, uint32(min(allowed, 1<<32-1))) {
			l.needed = now
		}
		if l.conn != nil {
			allowed += uint64(l.conn.Limit())
		}
	}
}

// mayGrow reports whether a connection is being made, or one more may be, where none has
// failed. c.mu is held.
func (c *Conn) mayGrow() bool {
	_, most := c.target.connections()
	return slices.ContainsFunc(c.endpoints, func(e *Endpoint) bool {
		failing := slices.ContainsFunc(e.links, func(l *link) bool { return l.failure != nil })
		connecting := slices.ContainsFunc(e.links, func(l *link) bool { return l.conn == nil && l.failure == nil })
		return connecting || len(e.links) < most && !failing
	})
}
