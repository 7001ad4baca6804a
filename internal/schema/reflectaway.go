package schema

import (
	"context"
	"errors"

	"google.golang.org/grpc/connectivity"
)

// Await has Load give an empty registry and a warning while the server does not
// answer and has never done so. Without it that is a problem.
func (r *Reflector) Await() { r.patient.Store(true) }

// Waiting reports whether the server has yet to tell its schema for the first time.
func (r *Reflector) Waiting() bool { return r.last.Load() == nil }

// Reconnected watches the connection until ctx ends, and reports whether it is
// ready and was not all the time since the last watch: the server may be another
// one now. Connections that do not tell their state never come back. One
// goroutine may ask at a time.
func (r *Reflector) Reconnected(ctx context.Context) bool {
	conn, ok := r.conn.(interface {
		State() connectivity.State
		StateChanged(context.Context) bool
	})
	if !ok {
		return false
	}
	if conn.StateChanged(ctx) {
		r.down.Store(true)
	}
	<-ctx.Done()
	if conn.State() != connectivity.Ready {
		r.down.Store(true)
		return false
	}
	return r.down.Swap(false)
}

// without is what Load gives when the server gave nothing.
func (r *Reflector) without(err error) (*Registry, Problems) {
	problem := Problem{File: r.name, Message: err.Error()}
	if !errors.Is(err, errServerAway) {
		return nil, Problems{problem}
	}
	if last := r.last.Load(); last != nil {
		problem.Message += "; the one that it gave before stays in service"
		problem.Warning = true
		return last, Problems{problem}
	}
	if !r.patient.Load() {
		return nil, Problems{problem}
	}
	problem.Message += "; its methods are served once it can"
	problem.Warning = true
	empty, _ := link(linkInput{source: r.name, display: r.display})
	return empty, Problems{problem}
}
