package upstream

import (
	"math/rand/v2"
	"sync/atomic"
)

// roundRobin takes the endpoints in turn, each as often as its weight says
// (Traffic 165).
type roundRobin struct{ next atomic.Uint32 }

func (r *roundRobin) picker(endpoints []*Endpoint) Picker {
	return inTurn{r, endpoints, newSchedule(endpoints)}
}

type inTurn struct {
	*roundRobin
	endpoints []*Endpoint
	schedule
}

// Pick implements Picker.
func (p inTurn) Pick(_ CallKey, tried []*Endpoint) *Endpoint {
	return firstFrom(p.endpoints, p.at(p.next.Add(1), len(p.endpoints)), tried)
}

// random takes any of the endpoints, as often as its weight says.
type random struct{}

func (random) picker(endpoints []*Endpoint) Picker {
	return atRandom{endpoints, newSchedule(endpoints)}
}

type atRandom struct {
	endpoints []*Endpoint
	schedule
}

// Pick implements Picker.
func (p atRandom) Pick(_ CallKey, tried []*Endpoint) *Endpoint {
	return firstFrom(p.endpoints, p.at(rand.Uint32(), len(p.endpoints)), tried)
}

// leastRequest takes the one with fewer calls under way, for its weight, of two at
// random (Traffic 164).
type leastRequest struct{}

func (leastRequest) picker(endpoints []*Endpoint) Picker { return fewer{endpoints} }

type fewer struct{ endpoints []*Endpoint }

// Pick implements Picker.
func (p fewer) Pick(_ CallKey, tried []*Endpoint) *Endpoint {
	n, r := uint64(len(p.endpoints)), rand.Uint64()
	i := r >> 32 * n >> 32
	j := uint64(uint32(r)) * (n - 1) >> 32
	if j >= i {
		j++ // another one
	}
	a, b := p.endpoints[i], p.endpoints[j]
	// (active + 1) / weight, without a division
	if uint64(b.Active()+1)*uint64(a.weight.Load()) < uint64(a.Active()+1)*uint64(b.weight.Load()) {
		a, i = b, j
	}
	if len(tried) == 0 && !a.Full() {
		return a
	}
	return firstFrom(p.endpoints, int(i), tried)
}

// schedule is the order in which endpoints of different weight are taken: the index
// of each stands in it as often as its weight says, and spread. It is nil for equal
// weights.
type schedule []uint16

// maxSchedule bounds the length of a schedule; weights are rounded to fit.
const maxSchedule = 4096

// at returns the index of the nth pick among so many endpoints.
func (s schedule) at(n uint32, endpoints int) int {
	if s == nil {
		return int(n % uint32(endpoints))
	}
	return int(s[n%uint32(len(s))])
}

func newSchedule(endpoints []*Endpoint) schedule {
	weights := weightsOf(endpoints)
	if weights == nil {
		return nil
	}
	total := 0
	for _, w := range weights {
		total += w
	}
	// Each time, all gain their weight, and the one with the most pays for all: no
	// endpoint is taken many times in a row.
	credit := make([]int, len(weights))
	s := make(schedule, total)
	for n := range s {
		best := 0
		for i, w := range weights {
			if credit[i] += w; credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= total
		s[n] = uint16(best)
	}
	return s
}

// weightsOf returns the weights in lowest terms, and small enough for a schedule; nil
// where all are equal.
func weightsOf(endpoints []*Endpoint) []int {
	weights := make([]int, len(endpoints))
	divisor, total, equal := 0, 0, true
	for i, e := range endpoints {
		weights[i] = int(e.weight.Load())
		divisor = gcd(divisor, weights[i])
		total += weights[i]
		equal = equal && weights[i] == weights[0]
	}
	if equal || len(endpoints) > maxSchedule {
		return nil
	}
	for i, w := range weights {
		if weights[i] = w / divisor; total/divisor > maxSchedule {
			weights[i] = max(1, w*(maxSchedule-len(endpoints))/total)
		}
	}
	return weights
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
