package bus_test

import (
	"context"
	"testing"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/internal/observe"
)

// taking is a sink that takes all, or waits.
type taking struct{ wait bool }

func (s taking) Send(ctx context.Context, _ []*events.Event, errs []error) {
	if s.wait {
		<-ctx.Done()
		for i := range errs {
			errs[i] = ctx.Err()
		}
	}
}

func (taking) Close() error { return nil }

// BenchmarkPublish is what a best effort event costs a call beyond making it, with the gateway's own
// counters: the bar is 1 µs and two allocations (Events 133).
func BenchmarkPublish(b *testing.B) {
	for name, wait := range map[string]bool{"taken": false, "queue full": true} {
		b.Run(name, func(b *testing.B) {
			eventBus := bus.New(bus.Options{Directory: b.TempDir(), Observer: observe.NewMetrics("")})
			defer func() { _ = eventBus.Close() }()
			publisher := eventBus.Publisher(eventBus.Add("a", taking{wait}))
			e := event("1")
			for range 20_000 {
				publisher.Publish(e)
			}
			b.ReportAllocs()
			for b.Loop() {
				publisher.Publish(e)
			}
		})
	}
}
