//go:build !race

// The race detector allocates itself.

package events_test

import (
	"testing"

	"github.com/transom-gateway/transom/events"
)

func TestAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { events.NewID(at) }); n > 1 {
		t.Errorf("an ID makes %v allocations", n)
	}
	e := whole()
	if n := testing.AllocsPerRun(100, func() { events.AppendRecord(nil, e) }); n != 1 {
		t.Errorf("a record without a buffer makes %v allocations, expected one", n)
	}
}
