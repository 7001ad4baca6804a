package upstream

import (
	"math"
	"slices"
	"sync/atomic"
)

const (
	// maxRendezvous is the most endpoints that are compared for each call; above, there is
	// a table, which stays until there are only half as many: the keys move as one takes
	// the place of the other.
	maxRendezvous = 64
	// maxChoices is how many endpoints are looked at for a key before any other one will do.
	maxChoices = 8
)

// hashed has the calls of one key made at one endpoint, and those without a key as
// leastRequest (Traffic 166).
type hashed struct {
	load  *atomic.Int64 // calls under way at all endpoints
	table bool          // the last picker had one
}

func (h *hashed) picker(endpoints []*Endpoint) Picker {
	p := &byKey{load: h.load, others: fewer{endpoints}, endpoints: endpoints}
	for _, e := range endpoints {
		p.total += uint64(e.weight.Load())
	}
	h.table = len(endpoints) > maxRendezvous || h.table && len(endpoints) > maxRendezvous/2
	if h.table {
		p.order = newMaglev(endpoints)
	} else {
		p.order = newRendezvous(endpoints)
	}
	return p
}

// byKey is the Picker of hashed.
type byKey struct {
	load      *atomic.Int64
	others    fewer
	endpoints []*Endpoint
	total     uint64 // of the weights
	order     order
}

// order is the order in which a key prefers the endpoints.
type order interface {
	// next returns the index of the endpoint that comes after a mark, and the mark of that
	// one. The first comes after firstMark; -1 is the end.
	next(k CallKey, mark uint64) (int, uint64)
}

const firstMark = math.MaxUint64

// Pick implements Picker.
func (p *byKey) Pick(k CallKey, tried []*Endpoint) *Endpoint {
	if k == 0 {
		return p.others.Pick(k, tried)
	}
	first, mark := p.order.next(k, firstMark)
	for i, n := first, 0; i >= 0 && n < maxChoices; n++ {
		e := p.endpoints[i]
		if p.within(e) && e.welcomes(k) && !e.Full() && (len(tried) == 0 || !slices.Contains(tried, e)) {
			return e
		}
		i, mark = p.order.next(k, mark)
	}
	return firstFrom(p.endpoints, first, tried)
}

// within reports whether one call more is within 1.25 times the endpoint's share of all
// calls, rounded up.
func (p *byKey) within(e *Endpoint) bool {
	active := e.Active()
	return active == 0 || uint64(active)*4*p.total < uint64(p.load.Load()+1)*5*uint64(e.weight.Load())
}
