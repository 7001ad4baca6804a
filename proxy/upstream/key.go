package upstream

import "math/bits"

// CallKey is what calls have in common that are to be made at the same endpoint. The zero
// CallKey is that of a call that can be made at any.
type CallKey uint64

// Place says at which endpoint a call is best made. The zero Place is that of a call
// that can be made at any.
type Place struct {
	// Key is that of calls which belong together, where the policy of load balancing asks
	// for it.
	Key CallKey
	// Ticket is what the client has of an endpoint that served it, nil where clients are
	// given none.
	Ticket *Ticket
}

// At has the attempts of the call made at a place.
func (t *Turn) At(p Place) { t.place = p }

// maxKeyed is how much of a text its key is made of, in bytes, beside its length.
const maxKeyed = 4096

// CallKeyOf returns the key of a text: the same in all processes, so that gateways beside
// each other agree, and never zero.
func CallKeyOf[T string | []byte](text T) CallKey {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range min(len(text), maxKeyed) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return CallKey(max(1, mix(h^uint64(len(text))<<32)))
}

// mix spreads each bit over all.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// with joins the key with a number that is as random.
func (k CallKey) with(n uint64) uint64 {
	high, low := bits.Mul64(uint64(k)^n, 0x9e3779b97f4a7c15)
	return high ^ low
}
