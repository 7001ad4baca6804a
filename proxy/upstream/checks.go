package upstream

import (
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// checking is how far the checks of a Conn's endpoints are. The mu of the Conn is held
// for all of it.
type checking struct {
	begun    bool        // there are endpoints to check
	over     bool        // calls need not wait for checks any more
	deadline *time.Timer // of the first checks
	services []string    // that are asked for one by one
}

func (c *checking) end() {
	if c.deadline != nil {
		c.deadline.Stop()
	}
}

// beginChecks gives the first checks one timeout: calls wait for them no longer (Traffic
// 180). c.mu is held.
func (c *Conn) beginChecks() {
	if c.target.Health == nil || c.checking.begun {
		return
	}
	c.checking.begun, c.checking.over = true, false
	var timer *time.Timer
	timer = time.AfterFunc(c.target.Health.Timeout, func() {
		defer c.report()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.checking.deadline == timer && !c.checking.over {
			c.checking.over = true
			c.publish()
		}
	})
	c.checking.deadline = timer
}

// starts reports whether calls wait for the first checks: until each endpoint has
// answered one, or cannot be reached. c.mu is held.
func (c *Conn) starts() bool {
	if c.target.Health == nil || c.checking.over {
		return false
	}
	for _, e := range c.endpoints {
		for _, s := range e.checks {
			if !s.Asked && !e.unreachable() {
				return true
			}
		}
	}
	c.checking.over = len(c.endpoints) > 0
	return false
}

// unreachable reports whether no connection could be made. Of a plain server its checks say
// so. The mu of the Conn is held.
func (e *Endpoint) unreachable() bool {
	return !e.plain && !slices.ContainsFunc(e.links, func(l *link) bool { return l.conn != nil || l.failure == nil })
}

// startChecks begins to ask a new endpoint, which is not well until it says so. c.mu is
// held.
func (c *Conn) startChecks(e *Endpoint) {
	if c.target.Health == nil {
		return
	}
	e.checked, e.unchecked = context.WithCancel(c.ctx)
	e.checks = map[string]*health.State{}
	if c.target.Health.PerService {
		for _, service := range c.checking.services {
			c.startCheck(e, service)
		}
		return
	}
	e.bars |= barUnhealthy
	c.startCheck(e, c.target.Health.Service)
}

func (c *Conn) startCheck(e *Endpoint, service string) {
	ctx := e.checked
	e.checks[service] = new(health.State)
	if c.target.Health.Path != "" {
		c.work.Go(func() { c.checkHTTP(ctx, e) })
		return
	}
	c.work.Go(func() { c.checkGRPC(ctx, e, service) })
}

// connects notes that a connection has been made. A server that comes back may be another
// one: what it said before counts no more where checks are made over the connection. Where
// there is no other one, calls wait for what it says, as at the start. c.mu is held.
func (c *Conn) connects(e *Endpoint) {
	if c.target.Health == nil || c.target.Health.Path != "" || e.connected() {
		return
	}
	for _, s := range e.checks {
		*s = health.State{}
	}
	if !c.target.Health.PerService {
		e.bars |= barUnhealthy
	}
	if c.checking.over && !slices.ContainsFunc(c.endpoints, (*Endpoint).connected) {
		c.checking.end()
		c.checking.begun = false
		c.beginChecks()
	}
}

func (c *Conn) checkHTTP(ctx context.Context, e *Endpoint) {
	server := health.Server{Network: c.network, Authority: c.authorityOf(e), Address: func() string { return c.addressOf(e) }}
	if c.tls != nil {
		server.TLS = func() *tls.Config { return c.tls.Current() }
	}
	h := health.NewHTTP(*c.target.Health, server)
	defer h.Close()
	health.Each(ctx, c.target.Health.Interval, func(ctx context.Context) {
		if r := h.Ask(ctx); ctx.Err() == nil {
			c.note(e, c.target.Health.Service, r)
		}
	})
}

// authorityOf returns what an endpoint calls itself.
func (c *Conn) authorityOf(e *Endpoint) string {
	if e.plain {
		return e.server.Authority
	}
	return c.authority
}

// addressOf returns the address that an endpoint is connected to, or else the first one.
func (c *Conn) addressOf(e *Endpoint) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range e.links {
		if l.conn != nil {
			return l.address
		}
	}
	return e.addresses[0]
}

// checkGRPC asks over one connection of the endpoint after the other.
func (c *Conn) checkGRPC(ctx context.Context, e *Endpoint, service string) {
	for ctx.Err() == nil {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if ready := *e.ready.Load(); len(ready) > 0 {
			health.Follow(ctx, ready[0], *c.target.Health, service, func(r health.Report) { c.note(e, service, r) })
			c.left(ctx, e, ready[0], changed)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// left waits until the endpoint does not have a connection any more that has ended.
func (c *Conn) left(ctx context.Context, e *Endpoint, conn *transport.Conn, changed chan struct{}) {
	for ctx.Err() == nil && slices.Contains(*e.ready.Load(), conn) {
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
		changed = c.changed
		c.mu.Unlock()
	}
}

// note counts what an endpoint's check has found.
func (c *Conn) note(e *Endpoint, service string, r health.Report) {
	c.mu.Lock()
	s := e.checks[service]
	first := !s.Asked
	if e.checkedTimes++; !r.Well {
		e.failedTimes++
	}
	changed := s.Note(*c.target.Health, r)
	if changed && !c.target.Health.PerService {
		if e.bars &^= barUnhealthy; !s.Well {
			e.bars |= barUnhealthy
		}
	}
	var all []news
	if changed && !first || first && !s.Well {
		all = c.healthNews(e, service, s)
	}
	if changed || first {
		if e.plain {
			c.retireVanished()
		}
		c.publish()
	}
	c.mu.Unlock()
	c.tell(all)
	c.report()
}

// healthNews is what the log hears of an endpoint. c.mu is held.
func (c *Conn) healthNews(e *Endpoint, service string, s *health.State) []news {
	attrs := []any{"endpoint", e.name()}
	if service != "" {
		attrs = append(attrs, "service", service)
	}
	if s.Well {
		return c.reported.health.add(nil, slog.LevelInfo, "an endpoint is healthy", nil, attrs...)
	}
	return c.reported.health.add(nil, slog.LevelWarn, "an endpoint is not healthy", nil, append(attrs, "error", s.Last.Why)...)
}

// name is the address of an endpoint, or all of them, for people.
func (e *Endpoint) name() string {
	const most = 5
	if len(e.addresses) > most {
		return strings.Join(e.addresses[:most], ",") + ",…"
	}
	return strings.Join(e.addresses, ",")
}
