package upstream

import (
	"slices"
	"strings"
)

// CheckServices has the health of these services asked for, each by itself, where the
// target's checks are per service. It replaces those before; what is known of a service
// that stays is kept.
func (c *Conn) CheckServices(names []string) {
	if c.target.Health == nil || !c.target.Health.PerService {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.checking.services = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, e := range slices.Concat(c.endpoints, c.vanished) {
		for _, service := range c.checking.services {
			if e.checks[service] == nil {
				c.startCheck(e, service)
			}
		}
	}
	c.publish()
}

// chooseByService makes the choices for services that are not well at all endpoints.
// A service that is well nowhere has all of them. Choices whose endpoints are the same
// stay, unless these have other weights. c.mu is held.
func (c *Conn) chooseByService(weighed bool) {
	if c.target.Health == nil || !c.target.Health.PerService {
		return
	}
	before := map[string]*choice{}
	if all := c.services.Load(); all != nil && !weighed {
		before = *all
	}
	connected := c.connected()
	choices := map[string]*choice{}
	for _, service := range c.checking.services {
		well := slices.DeleteFunc(slices.Clone(connected), func(e *Endpoint) bool {
			s := e.checks[service]
			return s != nil && !s.Well
		})
		if len(well) == 0 || len(well) == len(connected) {
			continue
		}
		usable := c.usable(well)
		if len(usable) == 0 {
			continue
		}
		if old := before[service]; old != nil && slices.Equal(old.endpoints, usable) {
			choices[service] = old
			continue
		}
		if slices.ContainsFunc(usable, func(e *Endpoint) bool { return e.weight.Load() == 0 }) {
			c.weigh(usable)
		}
		choices[service] = c.choiceOf(usable)
	}
	c.services.Store(&choices)
}

// heed notes whose call it is, where that matters.
func (c *Conn) heed(t *Turn, method string) {
	if c.services.Load() == nil {
		return
	}
	t.service, _, _ = strings.Cut(strings.TrimPrefix(method, "/"), "/")
}

// choiceFor is what a call chooses from.
func (c *Conn) choiceFor(t *Turn) *choice {
	if choices := c.services.Load(); choices != nil {
		if own := (*choices)[t.service]; own != nil {
			return own
		}
	}
	return c.choice.Load()
}
