//go:build !race

// Under the race detector sync.Pool drops what it is given, now and then.

package rule

import (
	"context"
	"testing"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
)

// nowhere takes events.
type nowhere struct{ events.Publisher }

func (nowhere) Publish(*events.Event) {}

// TestAllocations: a best effort event costs a call two allocations at most beside the event itself: its
// id, extensions and data.
//
//transom:norace
func TestAllocations(t *testing.T) {
	const own = 4
	b := newBench(t, config(), `events { type: "a" fields: "name" }`)
	set := policytest.MustCompile(t, policytest.NewAuthBench(t, config(), kindsOf(nowhere{})...).Compiler, b.target)
	answer, r := b.book(t, `{"name":"n"}`), callBy("ada")
	n := testing.AllocsPerRun(200, func() {
		if _, err := set.Reply(context.Background(), r, answer); err != nil {
			t.Error(err)
		}
		_ = set.Conclude(context.Background(), r, &policy.Outcome{}, nil)
		r.Reset()
		r.HTTP, r.Identity = callRequest.HTTP, callRequest.Identity
	})
	if n > own+2 {
		t.Errorf("%v allocations, want %d at most", n, own+2)
	}
}

var callRequest = callBy("ada")

// BenchmarkBestEffort is what a best effort event costs a call.
func BenchmarkBestEffort(b *testing.B) {
	bench := newBench(b, config(), `events { type: "a" fields: "name" }`)
	set := policytest.MustCompile(b, policytest.NewAuthBench(b, config(), kindsOf(nowhere{})...).Compiler, bench.target)
	answer, r := bench.book(b, `{"name":"n"}`), callBy("ada")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = set.Reply(context.Background(), r, answer)
		_ = set.Conclude(context.Background(), r, &policy.Outcome{}, nil)
		r.Reset()
		r.HTTP, r.Identity = callRequest.HTTP, callRequest.Identity
	}
}
