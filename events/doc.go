// Package events is what the gateway publishes: CloudEvents 1.0 events, and the bus that
// brings them to sinks.
//
//	bus.Publish(event)             // best effort: it never waits
//	err := bus.Store(ctx, event)   // at least once: on disk when it returns nil
//
// Who publishes knows no sink, and a sink knows events alone. What is published, and when,
// is the rules' matter.
package events
