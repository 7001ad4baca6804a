package events

import (
	"context"
	"errors"
)

// Sink sends events to one broker or server. Its methods are called by one goroutine.
type Sink interface {
	// Send sends events, of one key in their order, and waits for their
	// acknowledgements. It sets errs[i], which is nil before, for each event that was not
	// acknowledged; an error that wraps ErrRejected says that no other attempt will help.
	// The others are sent again, by the same call or a later one: after an event that
	// was not acknowledged Send acknowledges none of the same key.
	Send(ctx context.Context, batch []*Event, errs []error)
	// Close ends its connections.
	Close() error
}

// ErrRejected is wrapped by the error of an event that a sink will never take.
var ErrRejected = errors.New("the event was rejected")

// Publisher is the side of a Bus that calls see.
type Publisher interface {
	// Publish hands an event to the sinks without waiting: if a queue is full it is
	// dropped, and counted. The event must not be changed afterwards.
	Publish(e *Event)
	// Store makes an event durable. It returns nil when it is on disk, from where it reaches
	// all sinks. The event may be changed afterwards.
	Store(ctx context.Context, e *Event) error
}
