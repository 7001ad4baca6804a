package transcoder

import (
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errLate ends a unary call whose message does not come.
var errLate = status.Error(codes.DeadlineExceeded, "the body did not arrive in time")

// lateness breaks off the reading of a unary request that takes longer than
// bodyTimeout, or than the call may. A timer costs less than a read deadline, which over HTTP/2 is two
// messages to the connection's own goroutine.
type lateness struct {
	timer *time.Timer

	mu   sync.Mutex
	w    http.ResponseWriter // nil when the reading is over
	late bool
}

// watchReading begins to watch; due is the call's deadline, zero for none. done
// must be called.
func watchReading(w http.ResponseWriter, due time.Time) *lateness {
	wait := bodyTimeout
	if !due.IsZero() {
		wait = min(wait, time.Until(due))
	}
	l := &lateness{w: w}
	l.timer = time.AfterFunc(wait, l.breakOff)
	return l
}

func (l *lateness) breakOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil {
		return
	}
	l.late = true
	_ = http.NewResponseController(l.w).SetReadDeadline(time.Unix(1, 0)) // unsupported only by recorders, which do not block
}

// done ends the watch, for the ResponseWriter must not be used after the call;
// true if the reading was broken off.
func (l *lateness) done() (late bool) {
	l.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = nil
	return l.late
}
