package grpcgo

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/resolver"

	"github.com/transom-gateway/transom/proxy/upstream"
)

// given is a resolver.ClientConn that keeps what it was given.
type given struct {
	resolver.ClientConn
	state resolver.State
}

func (g *given) UpdateState(s resolver.State) error {
	g.state = s
	return nil
}

// TestManyAddresses: Traffic 173: of 10,000 addresses grpc-go gets as many as are used.
func TestManyAddresses(t *testing.T) {
	var s resolver.State
	for i := range 10_000 {
		s.Addresses = append(s.Addresses, resolver.Address{Addr: fmt.Sprint(i)})
	}
	to := &given{}
	if err := (listener{to, new(Conn)}).UpdateState(s); err != nil {
		t.Fatal(err)
	}
	if a, e := len(to.state.Addresses), len(to.state.Endpoints); a != upstream.MaxAddresses || e != a {
		t.Errorf("%d addresses, %d endpoints", a, e)
	}
}
