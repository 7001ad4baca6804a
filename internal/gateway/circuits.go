package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy/breaker"
)

// circuit is the breaker between a method and its upstream.
type circuit struct {
	upstream, rpc string
	breaker       *breaker.Breaker
}

// CircuitStatus is a circuit breaker as the admin listener shows it.
type CircuitStatus struct {
	Upstream, RPC string
	breaker.Status
}

// addCircuit notes the breakers of an endpoint, if it has some.
func (b *builder) addCircuit(g *guard) {
	for _, set := range g.sets() {
		part, ok := policy.Find[interface {
			Breaker() (*breaker.Breaker, string)
		}](set)
		if !ok {
			continue
		}
		found, upstream := part.Breaker()
		one := circuit{upstream, g.name, found}
		if upstream != "" && !slices.Contains(b.snapshot.circuits, one) {
			b.snapshot.circuits = append(b.snapshot.circuits, one)
		}
	}
}

// sortCircuits orders them by upstream and method.
func (s *Snapshot) sortCircuits() {
	slices.SortFunc(s.circuits, func(a, b circuit) int {
		return cmp.Or(cmp.Compare(a.upstream, b.upstream), cmp.Compare(a.rpc, b.rpc))
	})
}

// Circuits lists the circuit breakers, by upstream and method.
func (g *Gateway) Circuits() []CircuitStatus {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	list := make([]CircuitStatus, len(s.circuits))
	for i, c := range s.circuits {
		list[i] = CircuitStatus{c.upstream, c.rpc, c.breaker.Status()}
	}
	return list
}

// CircuitStates are what SetCircuit takes, by the names that operators give them.
var CircuitStates = map[string]breaker.State{"open": breaker.OpenByHand, "closed": breaker.ClosedByHand, "auto": breaker.Closed}

// SetCircuit puts the breaker of a method, or of all methods at an upstream where rpc is
// empty, into a state by hand: it stays so until it is told otherwise; with
// breaker.Closed it decides for itself again. It returns how many were told.
func (g *Gateway) SetCircuit(upstream, rpc string, state breaker.State) (int, error) {
	s := g.acquire()
	if s == nil {
		return 0, fmt.Errorf("no configuration has been loaded yet")
	}
	defer s.release()
	told := 0
	for _, c := range s.circuits {
		if c.upstream == upstream && (rpc == "" || c.rpc == rpc) {
			c.breaker.Set(state)
			told++
		}
	}
	switch {
	case told > 0:
		return told, nil
	case rpc == "":
		return 0, fmt.Errorf("no method at the upstream %q has a circuit breaker", upstream)
	}
	hint := ""
	if i := strings.LastIndexByte(rpc, '.'); i > 0 && !strings.Contains(rpc, "/") {
		slashed := rpc[:i] + "/" + rpc[i+1:]
		if slices.ContainsFunc(s.circuits, func(c circuit) bool { return c.upstream == upstream && c.rpc == slashed }) {
			hint = fmt.Sprintf("; did you mean %q?", slashed)
		}
	}
	return 0, fmt.Errorf("%q has no circuit breaker at the upstream %q%s", rpc, upstream, hint)
}

// observeCircuits tells the metrics of the breakers.
func (g *Gateway) observeCircuits(yield func(observe.Circuit) bool) {
	for _, c := range g.Circuits() {
		state := 0
		switch c.State {
		case breaker.HalfOpen:
			state = 1
		case breaker.Open, breaker.OpenByHand:
			state = 2
		}
		if !yield(observe.Circuit{Upstream: c.Upstream, RPC: c.RPC, State: state}) {
			return
		}
	}
}

// SetEndpoint takes an endpoint of an upstream out, so that it gets no calls until told
// otherwise, or puts it back.
func (g *Gateway) SetEndpoint(upstream, address string, out bool) error {
	s := g.acquire()
	if s == nil {
		return fmt.Errorf("no configuration has been loaded yet")
	}
	defer s.release()
	conn, ok := s.conns[upstream]
	if !ok {
		return fmt.Errorf("there is no upstream %q", upstream)
	}
	own, ok := conn.(interface {
		TakeOut(address string, out bool) error
	})
	if !ok {
		return fmt.Errorf("the client of the upstream %q takes no endpoint out: it is GRPC_GO", upstream)
	}
	return own.TakeOut(address, out)
}
