package upstream

import (
	"cmp"
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
	c.mu.Lock()
	state = c.bounded(state)
	c.mu.Unlock()
	groups := groupsOf(state, c.target)
	if len(groups) == 0 {
		a.ReportError(errNoAddress)
		return errNoAddress
	}
	defer c.resolved()
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
	c.beginChecks()
	c.retireVanished()
	c.publish()
	return nil
}

// resolved tells of an answer of the resolver.
func (c *Conn) resolved() {
	c.report()
	if c.onList != nil && c.ctx.Err() == nil {
		c.onList()
	}
}

// endpoint returns the one that there is for these addresses, or a new one.
// c.mu is held.
func (c *Conn) endpoint(known []*Endpoint, g group) *Endpoint {
	for _, e := range known {
		if c.fits(e, g.addresses) {
			e.share = g.share
			return e
		}
	}
	return c.newEndpoint(g)
}

// group is addresses of which one connection is enough.
type group struct {
	addresses []string
	share     Share
}

// groupsOf returns the groups of addresses that a resolver has found.
func groupsOf(state resolver.State, t Target) []group {
	var groups []group
	for _, e := range state.Endpoints {
		g := group{share: shareOf(e)}
		for _, a := range e.Addresses {
			g.addresses = append(g.addresses, a.Addr)
		}
		known := func(other group) bool { return slices.Equal(other.addresses, g.addresses) }
		if len(g.addresses) > 0 && !slices.ContainsFunc(groups, known) {
			groups = append(groups, g)
		}
	}
	if t.LoadBalancing == pickFirst && len(groups) > 1 {
		return []group{joined(groups)}
	}
	return groups
}

// joined returns all addresses as those of one endpoint, in the order in which their
// shares would have calls go to them.
func joined(groups []group) group {
	all := group{share: fullShare}
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(a.share.level(), b.share.level()) })
	for _, g := range groups {
		all.addresses = append(all.addresses, g.addresses...)
	}
	return all
}

// ReportError implements resolver.ClientConn. What was known stays in use; where
// the name is known to have no address any more, as long as one of them connects:
// they may be somebody else's by now.
func (a *addresses) ReportError(err error) {
	c := (*Conn)(a)
	defer c.resolved()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.unresolved = err
	if errors.Is(err, errNoAddress) && !c.reached() && c.why() != nil {
		for _, e := range c.endpoints {
			c.retire(e)
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
