package upstream_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/resolver"

	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// shared is an address with its share.
type shared struct {
	address string
	upstream.Share
}

func sharedState(all ...shared) (s resolver.State) {
	for _, a := range all {
		e := resolver.Endpoint{Addresses: []resolver.Address{{Addr: a.address}}}
		s.Endpoints = append(s.Endpoints, upstream.WithShare(e, a.Share))
	}
	return s
}

// TestShares: Traffic 165: an endpoint has the share of calls that the resolver
// gives it, also when that changes while the connections stay; one of weight 0 or of a
// larger priority gets calls only while there is no other.
func TestShares(t *testing.T) {
	a, b := startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t))
	r, target := names(t)
	r.InitialState(sharedState(shared{a.address, upstream.Share{Weight: 1}}, shared{b.address, upstream.Share{Weight: 1}}))
	conn := get(t, upstream.Target{Address: target, LoadBalancing: "round_robin"})
	for _, test := range []struct {
		a, b  upstream.Share
		wantA int // of 40 calls
	}{
		{upstream.Share{Weight: 1}, upstream.Share{Weight: 1}, 20},
		{upstream.Share{Weight: 3}, upstream.Share{Weight: 1}, 30},
		{upstream.Share{Weight: 1 << 30}, upstream.Share{Weight: upstream.MaxWeight}, 20},
		{upstream.Share{Weight: 0}, upstream.Share{Weight: 1}, 0},
		{upstream.Share{Weight: 1}, upstream.Share{Weight: 0}, 40},
		{upstream.Share{Weight: 0}, upstream.Share{Weight: 0}, 20},
		{upstream.Share{Weight: 1, Priority: 10}, upstream.Share{Weight: 1, Priority: 20}, 40},
		{upstream.Share{Weight: 0, Priority: 10}, upstream.Share{Weight: 1, Priority: 20}, 0},
		{upstream.Share{Weight: 2, Priority: 20}, upstream.Share{Weight: 2, Priority: 20}, 20},
	} {
		r.UpdateState(sharedState(shared{a.address, test.a}, shared{b.address, test.b}))
		poll.Until(t, fmt.Sprintf("%+v and %+v: %d calls of 40", test.a, test.b, test.wantA), func() bool {
			got := 0
			for range 40 {
				name, _, err := ask(t, conn)
				if err != nil {
					t.Fatal(err)
				}
				if name == a.address {
					got++
				}
			}
			return got == test.wantA
		})
	}
	r.UpdateState(sharedState(shared{a.address, upstream.Share{Weight: 1}}, shared{b.address, upstream.Share{Weight: 1, Priority: 1}}))
	a.Stop()
	poll.Until(t, "calls to the one of the larger priority", func() bool { name, _, _ := ask(t, conn); return name == b.address })
}

// TestSharePickFirst: Traffic 165: pick_first tries the addresses in the order of
// their priorities.
func TestSharePickFirst(t *testing.T) {
	a, b := startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t))
	r, target := names(t)
	r.InitialState(sharedState(shared{a.address, upstream.Share{Weight: 1, Priority: 1}}, shared{b.address, upstream.Share{Weight: 1}}))
	conn := get(t, upstream.Target{Address: target, LoadBalancing: "pick_first"})
	if name, _, err := ask(t, conn); err != nil || name != b.address {
		t.Errorf("called %q, %v; want %s", name, err, b.address)
	}
}
