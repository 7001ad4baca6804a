package upstream

import (
	"math"
	"math/bits"
)

// newRendezvous orders endpoints by what each of them and the key make together: one
// that leaves takes none but its own keys with it.
func newRendezvous(endpoints []*Endpoint) order {
	ids, equal := make(rendezvous, len(endpoints)), true
	for i, e := range endpoints {
		ids[i] = e.id
		equal = equal && e.weight.Load() == endpoints[0].weight.Load()
	}
	if equal {
		return ids
	}
	w := weighted{rendezvous: ids}
	for _, e := range endpoints {
		w.per = append(w.per, 1/float64(e.weight.Load()))
	}
	return w
}

// rendezvous are the ids of endpoints of the same weight.
type rendezvous []uint64

func (ids rendezvous) next(k CallKey, mark uint64) (best int, score uint64) {
	if mark == firstMark {
		for i, id := range ids { // as below, with less to compare
			if s := k.with(id); s > score {
				best, score = i, s
			}
		}
		return best, score
	}
	best = -1
	for i, id := range ids {
		if s := k.with(id); s < mark && (s > score || best < 0) {
			best, score = i, s
		}
	}
	return best, score
}

// weighted is rendezvous with weights: the number x, of those from 0 to 1, that an
// endpoint and the key make together counts as x to the power of 1/weight. The order of
// endpoints of the same weight is that of rendezvous.
type weighted struct {
	rendezvous
	per []float64 // 1/weight
}

func (w weighted) next(k CallKey, mark uint64) (best int, score uint64) {
	best = -1
	for i, id := range w.rendezvous {
		// Larger for smaller distances, all of which are positive.
		if s := firstMark - math.Float64bits(distance(k.with(id))*w.per[i]); s < mark && (s > score || best < 0) {
			best, score = i, s
		}
	}
	return best, score
}

// distance is -log2((x+1)/2^64), to a hundredth.
func distance(x uint64) float64 {
	zeros := bits.LeadingZeros64(x | 1)
	rest := float64(x<<zeros<<1) / (1 << 64)
	return float64(zeros+1) - rest - 0.3437*rest*(1-rest)
}
