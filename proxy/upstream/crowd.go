package upstream

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/resolver"
)

// MaxAddresses bounds how many endpoints of one answer of a resolver are used: each
// gets connections (Traffic 173).
const MaxAddresses = 1000

// Bounded leaves MaxAddresses endpoints of what a resolver has found, by their
// priority, and reports how many there were. Those that are in use stay, as far as
// there is room: resolvers give their addresses in another order each time.
func Bounded(state resolver.State, used func(address string) bool) (resolver.State, int) {
	if len(state.Endpoints) == 0 {
		for _, a := range state.Addresses {
			state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{a}})
		}
	}
	state.Addresses = nil
	found := len(state.Endpoints)
	if found > MaxAddresses {
		rank := map[string]uint64{}
		for _, e := range state.Endpoints {
			rank[first(e)] = shareOf(e).level() << 1
			if !used(first(e)) {
				rank[first(e)]++
			}
		}
		sorted := slices.Clone(state.Endpoints)
		slices.SortStableFunc(sorted, func(a, b resolver.Endpoint) int {
			return int(min(1, max(-1, int64(rank[first(a)])-int64(rank[first(b)]))))
		})
		state.Endpoints = sorted[:MaxAddresses:MaxAddresses]
	}
	for _, e := range state.Endpoints {
		state.Addresses = append(state.Addresses, e.Addresses...)
	}
	return state, found
}

// first is the first address of an endpoint; "" for none.
func first(e resolver.Endpoint) string {
	if len(e.Addresses) == 0 {
		return ""
	}
	return e.Addresses[0].Addr
}

// bounded is Bounded with the endpoints that the Conn has. c.mu is held.
func (c *Conn) bounded(state resolver.State) resolver.State {
	used := map[string]bool{}
	for _, e := range c.endpoints {
		for _, address := range e.addresses {
			used[address] = true
		}
	}
	state, c.crowd = Bounded(state, func(address string) bool { return used[address] })
	return state
}

// crowded says that a resolver gives more addresses than are used; nil where it does
// not. c.mu is held.
func (c *Conn) crowded() error {
	if c.crowd <= MaxAddresses {
		return nil
	}
	return fmt.Errorf("found %d addresses, expected at most %d", c.crowd, MaxAddresses)
}
