package transcoder

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// bodyTimeout is how long the body of a unary request may take to arrive.
	bodyTimeout = time.Minute
	// readingLook is how often a body that is slow to arrive is looked at.
	readingLook = 100 * time.Millisecond
)

// errLate ends a unary call whose body does not come.
var errLate = status.Error(codes.DeadlineExceeded, "the body did not arrive in time")

// lateness breaks off the reading of a unary request that takes longer than
// bodyTimeout, or than the call may, or that still goes on when the gateway ends its
// calls (Semantics 311, 320). Looking from time to time costs a request less than a
// read deadline, which over HTTP/2 is two messages to the connection's own goroutine,
// and than waiting for its context, and nothing where the body is there.
type lateness struct {
	ctx context.Context
	due time.Time

	mu    sync.Mutex
	timer *time.Timer
	w     http.ResponseWriter // nil when the reading is over
	why   error               // it was broken off
}

// watchReading begins to watch. ctx is the request's own; due is the call's deadline,
// zero for none. done must be called.
func watchReading(ctx context.Context, w http.ResponseWriter, due time.Time) *lateness {
	now := time.Now()
	l := &lateness{ctx: ctx, w: w, due: now.Add(bodyTimeout)}
	if !due.IsZero() && due.Before(l.due) {
		l.due = due
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(min(readingLook, l.due.Sub(now)), l.look)
	return l
}

func (l *lateness) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil {
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
	_ = http.NewResponseController(l.w).SetReadDeadline(time.Unix(1, 0)) // unsupported only by recorders, which do not block
}

// done ends the watch, for the ResponseWriter must not be used after the call; it says
// why the reading was broken off, nil if it was not.
func (l *lateness) done() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer.Stop()
	l.w = nil
	return l.why
}
