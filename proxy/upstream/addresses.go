package upstream

import (
	"errors"
	"slices"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// addresses is what a Conn is to its resolver.
type addresses Conn

var _ resolver.ClientConn = (*addresses)(nil)

var errNoAddress = errors.New("the name has no address")

// UpdateState implements resolver.ClientConn. Addresses that stay keep their
// connections; those of the others end with their last call, once one of the
// addresses that are left or new is connected.
func (a *addresses) UpdateState(state resolver.State) error {
	c := (*Conn)(a)
	groups := groupsOf(state, c.target)
	if len(groups) == 0 {
		a.ReportError(errNoAddress)
		return errNoAddress
	}
	defer c.report()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil
	}
	known := slices.Concat(c.endpoints, c.vanished)
	var kept []*Endpoint
	for _, group := range groups {
		kept = append(kept, c.endpoint(known, group))
	}
	c.vanished = slices.DeleteFunc(known, func(e *Endpoint) bool { return slices.Contains(kept, e) })
	c.endpoints, c.failure, c.unresolved = kept, nil, nil
	c.retireVanished()
	c.publish()
	return nil
}

// endpoint returns the one that there is for these addresses, or a new one.
// c.mu is held.
func (c *Conn) endpoint(known []*Endpoint, group []string) *Endpoint {
	for _, e := range known {
		if c.fits(e, group) {
			return e
		}
	}
	return c.newEndpoint(group)
}

// groupsOf returns the addresses, grouped into those of which one connection is
// enough.
func groupsOf(state resolver.State, t Target) [][]string {
	endpoints := state.Endpoints
	if len(endpoints) == 0 {
		for _, a := range state.Addresses {
			endpoints = append(endpoints, resolver.Endpoint{Addresses: []resolver.Address{a}})
		}
	}
	var groups [][]string
	for _, e := range endpoints {
		var group []string
		for _, a := range e.Addresses {
			group = append(group, a.Addr)
		}
		if len(group) > 0 && !slices.ContainsFunc(groups, func(g []string) bool { return slices.Equal(g, group) }) {
			groups = append(groups, group)
		}
	}
	if t.LoadBalancing == pickFirst && len(groups) > 1 {
		return [][]string{slices.Concat(groups...)}
	}
	return groups
}

// ReportError implements resolver.ClientConn. What was known stays in use; where
// the name is known to have no address any more, as long as one of them connects:
// they may be somebody else's by now.
func (a *addresses) ReportError(err error) {
	c := (*Conn)(a)
	defer c.report()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.unresolved = err
	if errors.Is(err, errNoAddress) && !c.reached() && c.why() != nil {
		for _, e := range c.endpoints {
			e.retire()
		}
		c.endpoints = nil
	}
	if len(c.endpoints) == 0 {
		c.failure = err
	}
	c.publish()
}

// NewAddress implements resolver.ClientConn, for resolvers of old.
func (a *addresses) NewAddress(list []resolver.Address) {
	_ = a.UpdateState(resolver.State{Addresses: list}) // no resolver of old wants to know
}

// ParseServiceConfig implements resolver.ClientConn. A backend's wishes about
// retries would act below ours, so they are not heard.
func (*addresses) ParseServiceConfig(string) *serviceconfig.ParseResult {
	return &serviceconfig.ParseResult{Err: errors.New("service configs are not used")}
}
