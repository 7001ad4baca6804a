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

// Publisher is the side of a Bus that calls see. It is safe for concurrent use.
type Publisher interface {
	// Publish hands an event to the sinks without waiting: if a queue is full it is
	// dropped, and counted. The event must not be changed afterwards.
	Publish(e *Event)
	// Open has Store and Begin work. It is called when a configuration loads, where a rule needs
	// them.
	Open() error
	// Store makes an event durable. It returns nil when it is on disk, from where it reaches
	// all sinks. The event may be changed afterwards.
	Store(ctx context.Context, e *Event) error
	// StoreAll makes events durable as Store does, in their order, and notes the error of each in errs, which
	// has as many. Behind one that cannot be stored no other is: each has its error.
	StoreAll(ctx context.Context, all []*Event, errs []error)
	// Begin stores an intent: an event that is published, with the extension outcome=unknown,
	// should the process end before the intent is completed.
	Begin(ctx context.Context, e *Event) (Intent, error)
	// Lost counts an event that could not be stored although what it tells of has happened.
	Lost(e *Event)
}

// Intent is an event of which is not known yet whether it will happen.
type Intent interface {
	// Complete stores what has become of it, which has the ID of the event that Begin was given;
	// nil for nothing that is published. The intent is over where it returns nil.
	Complete(ctx context.Context, e *Event) error
}

// Discard is a Publisher for programs that only check a configuration: it publishes nothing.
var Discard Publisher = discard{}

type discard struct{}

func (discard) Publish(*Event)                                {}
func (discard) Open() error                                   { return nil }
func (discard) Store(context.Context, *Event) error           { return nil }
func (discard) StoreAll(context.Context, []*Event, []error)   {}
func (discard) Begin(context.Context, *Event) (Intent, error) { return discard{}, nil }
func (discard) Lost(*Event)                                   {}
func (discard) Complete(context.Context, *Event) error        { return nil }
