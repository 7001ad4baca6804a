package gateway

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bounds are what ends a call before its time.
type bounds struct {
	deadline time.Time // zero for none
	whose    error     // the cause of a context that ends by it, nil for the gateway's own time
	// endDeadline and unbind free what the context of the call holds; nil for nothing.
	endDeadline, unbind context.CancelFunc
}

// release frees what the context of the call holds.
func (b *bounds) release() {
	if b.unbind != nil {
		b.unbind()
	}
	if b.endDeadline != nil {
		b.endDeadline()
	}
}

// lateRefusal is the refusal of a call whose time ran out while a policy asked a
// store: that the store could not answer says nothing about it.
func lateRefusal(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && status.Code(err) == codes.Unavailable {
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

// boundStream also ends a stream with the credential that opened it, and when until
// does: at once for one without an end when the gateway shuts down, for the others when
// shutdown_timeout is over.
func (c *call) boundStream(parent, until context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(until, func() { cancel(errDraining) })
	unwatch := func() {}
	if c.request.Credential != nil {
		unwatch = c.request.Credential.Watch(cancel)
	}
	release := func() {
		unwatch()
		stop()
		cancel(nil)
	}
	if deadline.IsZero() {
		return ctx, release
	}
	ctx, cancelDeadline := context.WithDeadlineCause(ctx, deadline, c.bounds.whose)
	return ctx, func() {
		cancelDeadline()
		release()
	}
}
