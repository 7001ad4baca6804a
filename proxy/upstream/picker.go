package upstream

import "slices"

// Picker chooses among the endpoints it was made of, at least two, each of them
// connected. It is used by all calls at once, and takes no lock and no memory
// (Traffic 163).
type Picker interface {
	// Pick returns an endpoint that has room, one that was not tried while there is one;
	// nil where all are full.
	Pick(k CallKey, tried []*Endpoint) *Endpoint
}

// balancer makes pickers: a new one each time that the endpoints change. What it
// keeps outlives them.
type balancer interface {
	picker(endpoints []*Endpoint) Picker
}

// choice is what calls choose from; never changed.
type choice struct {
	endpoints []*Endpoint // those with a connection
	trials    []*Endpoint // those with a connection that are ejected
	tickets   tickets
	picker    Picker // nil for fewer than two
}

// pick returns the endpoint for a call, nil where all are full or there is none.
func (c *choice) pick(at Place, tried []*Endpoint) *Endpoint {
	switch len(c.endpoints) {
	case 0:
		return nil
	case 1:
		return c.endpoints[0]
	}
	if at.Ticket != nil && at.Ticket.Sent != "" {
		if e := c.tickets[at.Ticket.Sent]; e != nil && !e.Full() && !slices.Contains(tried, e) {
			return e
		}
	}
	return c.picker.Pick(at.Key, tried)
}

// firstFrom returns the first endpoint from index i on, around the end, that has room
// and was not tried; where all that have room were tried, the first of them.
func firstFrom(endpoints []*Endpoint, i int, tried []*Endpoint) *Endpoint {
	var second *Endpoint
	for range endpoints {
		switch e := endpoints[i]; {
		case e.Full():
		case len(tried) == 0 || !slices.Contains(tried, e):
			return e
		case second == nil:
			second = e
		}
		if i++; i == len(endpoints) {
			i = 0
		}
	}
	return second
}
