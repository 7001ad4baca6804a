package upstream

import "google.golang.org/grpc/resolver"

// MaxWeight is the largest weight of an endpoint, as in SRV records.
const MaxWeight = 1<<16 - 1

// Share is what a resolver says of an endpoint beside its addresses (Traffic 165).
type Share struct {
	// Weight is the endpoint's part of the calls, in proportion to the weights of the
	// others. One of weight 0 gets calls only while no other one can take them.
	Weight uint32
	// Priority is 0 for endpoints that get calls as a rule. Those of a larger one get
	// them only while no endpoint of a smaller one can take them.
	Priority uint32
	// Zone is where it is, for people; "" where nobody says.
	Zone string
}

// fullShare is that of endpoints of which a resolver says nothing.
var fullShare = Share{Weight: 1}

type shareKey struct{}

// WithShare returns the endpoint with its share, for resolvers to put into a
// resolver.State.
func WithShare(e resolver.Endpoint, s Share) resolver.Endpoint {
	s.Weight = min(s.Weight, MaxWeight)
	e.Attributes = e.Attributes.WithValue(shareKey{}, s)
	return e
}

// shareOf returns the share of an endpoint, fullShare where the resolver gave none.
func shareOf(e resolver.Endpoint) Share {
	if s, ok := e.Attributes.Value(shareKey{}).(Share); ok {
		return s
	}
	return fullShare
}

// level orders endpoints by when they get calls: those of the smallest level that one
// has do.
func (s Share) level() uint64 {
	if s.Weight == 0 {
		return levelDrained | uint64(s.Priority)
	}
	return uint64(s.Priority)
}

const (
	levelDrained = 1 << 32
	levelBarred  = 1 << 33
)
