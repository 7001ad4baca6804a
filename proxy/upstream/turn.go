package upstream

import (
	"slices"
	"sync"

	"github.com/transom-gateway/transom/proxy/breaker"
)

// Turn is what the attempts of one call share: where it was tried, and its place
// among those that wait for room. The zero Turn is that of a call that begins.
type Turn struct {
	place   Place
	service string // whose call it is, where services are told apart
	line    place
	last    *Endpoint   // of the attempt that is under way
	in      *Endpoint   // where the attempt has a place that it owes back, of plain HTTP; nil: nowhere
	tried   []*Endpoint // by the attempts before
	trial   *Endpoint   // ejected, and this attempt is to find out whether it answers; nil for none
	began   int64       // when the attempt did, by breaker.Now
	noted   int64       // when last was set, of an attempt beside others
	fault   error       // how the attempt has ended, for people
	party   *party      // of the attempts that run side by side; nil: there are none
}

// party is where the attempts of one call are that run side by side.
type party struct {
	mu sync.Mutex
	at []*Endpoint
}

// Beside returns the turn of an attempt that is made beside those before it, on a
// goroutine of its own: it avoids their endpoints while another one is ready. The
// first of them has its turn from the zero Turn, too.
func (t *Turn) Beside() *Turn {
	if t.party == nil {
		t.party = new(party)
	}
	t.party.mu.Lock()
	defer t.party.mu.Unlock()
	return &Turn{place: t.place, party: t.party, tried: slices.Clone(t.party.at)}
}

// goes notes the endpoint of an attempt.
func (t *Turn) goes(e *Endpoint) {
	if t.party == nil {
		t.last = e
		return
	}
	t.party.mu.Lock()
	defer t.party.mu.Unlock()
	if t.last = e; e != nil {
		t.noted = breaker.Now()
		t.party.at = append(t.party.at, e)
	}
}

// Ready is how many endpoints calls are spread over.
func (c *Conn) Ready() int { return len(c.choice.Load().endpoints) }

// Other reports whether an endpoint is ready that no attempt beside t was made at.
func (c *Conn) Other(t *Turn) bool {
	endpoints := c.choice.Load().endpoints
	if len(endpoints) < 2 {
		return false
	}
	if t.party == nil {
		return true
	}
	t.party.mu.Lock()
	defer t.party.mu.Unlock()
	return slices.ContainsFunc(endpoints, func(e *Endpoint) bool { return !slices.Contains(t.party.at, e) })
}

// Untried reports whether an endpoint has room that no attempt was made at, neither the
// last one nor those before.
func (c *Conn) Untried(t *Turn) bool {
	return slices.ContainsFunc(c.choice.Load().endpoints, func(e *Endpoint) bool { return e != t.last && !e.Full() && !slices.Contains(t.tried, e) })
}

// Endpoint is an address of the last attempt's endpoint, "" where it had none.
func (t *Turn) Endpoint() string {
	if t.last == nil {
		return ""
	}
	return t.last.at
}

// Begun reports whether the last attempt had an endpoint.
func (t *Turn) Begun() bool { return t.last != nil }

// Elsewhere has the next attempt avoid the endpoint of the last one, while another
// one is ready.
func (t *Turn) Elsewhere() {
	if t.last != nil {
		t.tried = append(t.tried, t.last)
	}
}
