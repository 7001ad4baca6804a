package exchange

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// BodyTimeout is how long the body of a unary request may take to arrive.
	BodyTimeout = time.Minute
	// readingLook is how often a body that is slow to arrive is looked at.
	readingLook = 100 * time.Millisecond
)

// errLate ends a unary call whose body does not come.
var errLate = status.Error(codes.DeadlineExceeded, "the body did not arrive in time")

// Readings watches the reading of the bodies of one gateway's unary requests, for
// those that take longer than BodyTimeout, or than the call may, or that still go on
// when the gateway ends its calls (Semantics 311, 320). Looking from time to time costs a
// request less than a read deadline, which over HTTP/2 is two messages to the
// connection's own goroutine, and than waiting for its context, and nothing where the
// body is there. The zero value is ready; a nil one works too, and keeps no memory.
type Readings struct {
	pool sync.Pool // of *reading, each with its timer
}

// Reading is one body that is read.
type Reading struct {
	of *Readings

	mu    sync.Mutex
	timer *time.Timer
	x     *Exchange // nil when the reading is over
	ctx   context.Context
	due   time.Time
	why   error // it was broken off
}

// Watch begins to watch the body of an exchange. due is the call's deadline, zero
// for none. done must be called.
func Watch(x *Exchange, due time.Time) *Reading {
	now := time.Now()
	var l *Reading
	if x.Readings != nil {
		l, _ = x.Readings.pool.Get().(*Reading)
	}
	if l == nil {
		l = &Reading{of: x.Readings}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.x, l.ctx, l.due, l.why = x, x.R.Context(), now.Add(BodyTimeout), nil
	if !due.IsZero() && due.Before(l.due) {
		l.due = due
	}
	first := min(readingLook, l.due.Sub(now))
	if l.timer == nil {
		l.timer = time.AfterFunc(first, l.look)
	} else {
		l.timer.Reset(first)
	}
	return l
}

// look is called by the timer. One that fired as the reading before ended may call it
// too early, which does no harm.
func (l *Reading) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.x == nil || l.why != nil {
		return
	}
	left := time.Until(l.due)
	switch err := l.ctx.Err(); {
	case left <= 0, errors.Is(err, context.DeadlineExceeded):
		l.why = errLate
	case err != nil:
		l.why = status.FromContextError(err).Err()
	default:
		l.timer.Reset(min(readingLook, left))
		return
	}
	l.x.InterruptRead()
}

// Done ends the watch, for the exchange must not be used after the call; it says why the
// reading was broken off, nil if it was not.
func (l *Reading) Done() error {
	l.mu.Lock()
	l.timer.Stop()
	why := l.why
	l.x, l.ctx, l.why = nil, nil, nil
	l.mu.Unlock()
	if l.of != nil {
		l.of.pool.Put(l)
	}
	return why
}
