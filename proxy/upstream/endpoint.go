package upstream

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// Endpoint is one server of a backend: the addresses that lead to it, of which one
// is enough, and the connections that are kept to it.
type Endpoint struct {
	id     uint64        // of its addresses, the same in all processes
	at     string        // the first address that it was found at
	ticket string        // that brings clients back; "" where none is given out
	weight atomic.Uint32 // of its share of calls, at least 1 where it gets calls
	active atomic.Int64  // calls and streams under way
	// widening: a connection more may be about to be made.
	widening atomic.Bool
	ramp     atomic.Uint32 // how much of its share it has, up to fullRamp

	// plain: it is a plain HTTP server, to which others make connections. It counts as
	// connected until it is retired. most is how many requests may be under way; 0: any
	// number.
	plain  bool
	most   int64
	server Server

	ready atomic.Pointer[[]*transport.Conn] // those that take calls; never changed
	next  atomic.Uint32                     // over ready

	record record

	// guarded by the mu of the Conn
	addresses                 []string
	share                     Share // as the resolver says
	links                     []*link
	retired                   bool
	bars                      bar                      // why it gets no calls although it is connected
	state                     string                   // of its status
	marked                    time.Time                // since when
	away                      bool                     // the log has heard that it cannot be reached
	checks                    map[string]*health.State // by the service that is asked for
	checked                   context.Context          // in which they are made
	checkedTimes, failedTimes uint64
	unchecked                 context.CancelFunc // ends them; nil where there are none
	since                     time.Time          // when it could be used first, without a break; zero: it cannot
}

// newEndpoint starts to connect. c.mu is held.
func (c *Conn) newEndpoint(g group) *Endpoint {
	e := &Endpoint{at: g.addresses[0], id: uint64(CallKeyOf(strings.Join(g.addresses, ","))), ticket: c.ticket(g.addresses), addresses: g.addresses, share: g.share}
	e.ready.Store(new([]*transport.Conn))
	c.newRecord(e)
	c.rememberTakenOut(e)
	if c.target.Plain {
		c.becomePlain(e)
	} else {
		least, _ := c.target.connections()
		for range least {
			e.links = append(e.links, c.connect(e))
		}
	}
	c.startChecks(e)
	return e
}

// Full reports whether none of the connections takes a call more, or a plain server no
// request more.
func (e *Endpoint) Full() bool {
	if e.plain {
		return e.most > 0 && e.active.Load() >= e.most
	}
	for _, conn := range *e.ready.Load() {
		if !conn.Full() {
			return false
		}
	}
	return true
}

// Active is how many calls and streams are under way.
func (e *Endpoint) Active() int64 { return e.active.Load() }

// conn returns the next connection that takes a call, nil where there is none.
func (e *Endpoint) conn() *transport.Conn {
	ready := *e.ready.Load()
	if len(ready) == 1 {
		if ready[0].Full() {
			return nil
		}
		return ready[0]
	}
	if len(ready) == 0 {
		return nil
	}
	n := uint32(len(ready))
	for first, i := e.next.Add(1)%n, uint32(0); i < n; i++ {
		if conn := ready[(first+i)%n]; !conn.Full() {
			return conn
		}
	}
	return nil
}

// publish makes known which connections take calls. The mu of the Conn is held.
func (e *Endpoint) publish() {
	var ready []*transport.Conn
	for _, l := range e.links {
		if l.conn != nil {
			ready = append(ready, l.conn)
		}
	}
	if !slices.Equal(ready, *e.ready.Load()) {
		e.ready.Store(&ready)
	}
}

// connected reports whether there is a connection, or a plain server to connect to. The mu
// of the Conn is held.
func (e *Endpoint) connected() bool {
	if e.plain {
		return !e.retired
	}
	return slices.ContainsFunc(e.links, func(l *link) bool { return l.conn != nil })
}

// why is the reason that there is no connection and that none is about to be. The mu of
// the Conn is held.
func (e *Endpoint) why() (err error) {
	for _, l := range e.links {
		if err = l.failure; err == nil {
			return nil
		}
	}
	return err
}

// retire ends the links; their calls may finish. The mu of the Conn is held.
func (e *Endpoint) retire() {
	e.retired = true
	if e.unchecked != nil {
		e.unchecked()
	}
	for _, l := range e.links {
		l.retire()
	}
	e.publish()
}

// fits reports whether the endpoint can stay where a resolver gives these addresses,
// which it has from then on. c.mu is held.
func (c *Conn) fits(e *Endpoint, group []string) bool {
	if slices.Equal(e.addresses, group) {
		return true
	}
	if c.target.LoadBalancing != pickFirst {
		return false
	}
	// DNS gives the addresses of a name in another order each time.
	if slices.Equal(slices.Sorted(slices.Values(e.addresses)), slices.Sorted(slices.Values(group))) {
		return true
	}
	stays := func(l *link) bool { return l.conn != nil && slices.Contains(group, l.address) }
	if !slices.ContainsFunc(e.links, stays) {
		return false
	}
	e.addresses = group
	for i, l := range e.links {
		if !stays(l) {
			l.retire()
			e.links[i] = c.connect(e)
		}
	}
	return true
}

// retireVanished ends the endpoints whose addresses are gone, except those that
// are all there is to make calls on. c.mu is held.
func (c *Conn) retireVanished() {
	replaced := slices.ContainsFunc(c.endpoints, (*Endpoint).replaces)
	c.vanished = slices.DeleteFunc(c.vanished, func(e *Endpoint) bool {
		if e.replaces() && !replaced {
			return false
		}
		c.retire(e)
		return true
	})
}

// replaces reports whether calls can be made at it rather than at endpoints that have
// vanished. That a plain server is connected says nothing of it, if its health is asked
// for. The mu of the Conn is held.
func (e *Endpoint) replaces() bool {
	return e.connected() && !(e.plain && e.bars&barUnhealthy != 0)
}

// retire ends an endpoint. c.mu is held.
func (c *Conn) retire(e *Endpoint) {
	e.retire()
	if e.plain {
		c.draining = append(slices.DeleteFunc(c.draining, func(e *Endpoint) bool { return e.Active() == 0 }), e)
	}
}

// endpointOf returns the endpoint of a connection in use, nil for none.
func (c *Conn) endpointOf(conn *transport.Conn) *Endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.open[conn]; l != nil {
		return l.endpoint
	}
	return nil
}

// connect starts a link. c.mu is held.
func (c *Conn) connect(e *Endpoint) *link {
	l := &link{owner: c, endpoint: e}
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	c.work.Go(l.run)
	return l
}
