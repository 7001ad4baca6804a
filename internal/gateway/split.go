package gateway

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/connectivity"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// splitter is the policy that spreads calls over several upstreams.
type splitter interface {
	policy.Part
	// Upstreams are those of the branches.
	Upstreams() []string
	// Idle reports whether no branch takes calls but those that match.
	Idle() bool
	// Pick decides where an admitted call goes, by the index in Upstreams.
	Pick(r *policy.Request, ready func(int) bool) (int, error)
}

// split has the calls of an endpoint spread over several upstreams (Traffic 203). Where a
// call goes is decided once, before everything that stands between admission and backend:
// attempts and circuit breaker are those of the branch.
type split struct {
	splitter
	branches []branch
	ready    func(int) bool // made once, not per call
}

// branch is one upstream of a split with what stands before it.
type branch struct {
	upstream string
	set      *policy.Set // compiled for this upstream
	conn     connection  // nil: there is none
	placing  *placing
	backend  proxy.Backend // of a method
	http     httpWay       // of a route
}

// pick is Pick, with the branch.
func (s *split) pick(r *policy.Request) (*branch, error) {
	i, err := s.Pick(r, s.ready)
	if err != nil {
		return nil, err
	}
	return &s.branches[i], nil
}

// isReady reports whether a branch can take calls: a server is connected, or about to be
// for the first time.
func (s *split) isReady(i int) bool {
	conn := s.branches[i].conn
	return conn != nil && conn.State() != connectivity.TransientFailure
}

// splitOf has calls spread as the policies of an endpoint say, nil where they do not.
// target is what set was compiled for.
func (b *builder) splitOf(set *policy.Set, target policy.Target) *split {
	part, ok := policy.Find[splitter](set)
	if !ok {
		return nil
	}
	s := &split{splitter: part}
	s.ready = s.isReady
	// What is wrong with the policies was said of the endpoint's own upstream; what was meant
	// for one of them, such as a fallback that is a branch, too, does not hold for it.
	layers := slices.Clone(target.Layers)
	for i := range layers {
		layers[i].Exact = false
	}
	target.Layers = layers
	for _, name := range part.Upstreams() {
		target.Upstream = name
		own, problems := b.snapshot.policies.Compile(target)
		b.problems = append(b.problems, problems...)
		if own == nil {
			own = policy.NewSet(nil)
		}
		s.branches = append(s.branches, branch{upstream: name, set: own, conn: b.snapshot.conns[name]})
	}
	return s
}

// useSplit has calls go where the split says.
func (g *guard) useSplit(s *split) {
	g.split = s
	for i := range s.branches {
		place := s.branches[i].placing
		g.changesHeader = g.changesHeader || place != nil && place.sticky != nil
	}
}

// place begins what the client says of a call's place at the upstream that it goes to.
func (c *call) place(ctx context.Context, p *placing) context.Context {
	if p == nil {
		return ctx
	}
	c.placing = p
	return p.begin(ctx, c)
}

// upstreams names where calls go.
func (g *guard) upstreams() string {
	if g.split == nil {
		return g.upstream
	}
	var names string
	for i, b := range g.split.branches {
		if !slices.ContainsFunc(g.split.branches[:i], func(before branch) bool { return before.upstream == b.upstream }) {
			names += "," + b.upstream
		}
	}
	return names[1:]
}

// sets are the policies of the endpoint, one Set for each upstream.
func (g *guard) sets() []*policy.Set {
	if g.split == nil {
		return []*policy.Set{g.set}
	}
	var all []*policy.Set
	for i := range g.split.branches {
		all = append(all, g.split.branches[i].set)
	}
	return all
}

// suspectMirror warns of copies that go where the calls go.
func (b *builder) suspectMirror(layers []policy.Layer, set *policy.Set, to string) {
	if at := written(layers, "mirror"); at != nil && to != "" && set.Effective.GetMirror().GetUpstream() == to {
		b.warnAt(at.Where, fmt.Sprintf("mirror: the upstream %s gets the calls and their copies, so that it has each twice: name another one", to))
	}
}

// suspectSplit warns of a split by which no call goes anywhere.
func (b *builder) suspectSplit(layers []policy.Layer, set *policy.Set) {
	if part, ok := policy.Find[splitter](set); ok && part.Idle() {
		if at := written(layers, "split"); at != nil {
			b.warnAt(at.Where, "split: the weights sum to 0, so that calls which match no branch get UNAVAILABLE: give one of them a weight")
		}
	}
}
