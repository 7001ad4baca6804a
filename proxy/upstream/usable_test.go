package upstream

import (
	"slices"
	"testing"
)

// TestUsable: an endpoint with a bar gets calls only where none is left
// without one.
func TestUsable(t *testing.T) {
	a, b := new(Endpoint), new(Endpoint)
	both := []*Endpoint{a, b}
	c := new(Conn)
	for _, test := range []struct {
		a, b bar
		want []*Endpoint
	}{
		{0, 0, both},
		{barUnhealthy, 0, []*Endpoint{b}},
		{0, barEjected | barOperator, []*Endpoint{a}},
		{barUnhealthy, barOperator, both},
	} {
		a.bars, b.bars = test.a, test.b
		if got := c.usable(slices.Clone(both)); !slices.Equal(got, test.want) {
			t.Errorf("bars %b and %b: %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
