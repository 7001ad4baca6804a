package gateway

import (
	"net/http/httptest"
	"net/netip"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestPlaceAllocations: Traffic 163, 166: the place of a call that is in its message takes
// no memory; one that is in its header, one piece for the call's context.
func TestPlaceAllocations(t *testing.T) {
	message := []byte{0x0a, 1, 'x'}
	for _, test := range []struct {
		name string
		hash *transomv1.Hash
		want float64
	}{
		{"a field", &transomv1.Hash{Field: "name"}, 0},
		{"a header", &transomv1.Hash{Header: "x-tenant"}, 1},
		{"a cookie", &transomv1.Hash{Cookie: "cart"}, 1},
		{"an address", &transomv1.Hash{Key: transomv1.Hash_CLIENT_IP}, 1},
	} {
		p := newPlacing(&transomv1.GrpcUpstream{Balancing: &transomv1.Balancing{Hash: test.hash}})
		p.field.numbers = []protowire.Number{1}
		c := &call{r: httptest.NewRequest("GET", "/", nil)}
		c.r.Header.Set("X-Tenant", "a")
		c.r.Header.Set("Cookie", "a=b; cart=a")
		c.request.ClientIP = netip.MustParseAddr("127.0.0.1")
		var key any
		got := testing.AllocsPerRun(100, func() {
			if at := p.place(p.begin(t.Context(), c), message); at.Key == 0 {
				key = at
			}
		})
		if got != test.want || key != nil {
			t.Errorf("%s: %v allocations, want %v; without a key: %v", test.name, got, test.want, key)
		}
	}
}
