package schema

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/connectivity"
)

// Await has Load wait for so long at most, and give what the server gave before, or an
// empty registry, and a warning where it does not answer or answers nonsense.
// Without it that is a problem.
func (r *Reflector) Await(patience time.Duration) { r.patience.Store(int64(patience)) }

// Waiting reports whether the server has yet to tell its schema for the first time.
func (r *Reflector) Waiting() bool { return r.last.Load() == nil }

// Reconnected watches the connection until ctx ends, and reports whether it is
// ready and was not all the time since the last watch: the server may be another
// one now. Connections that do not tell their state never come back. One
// goroutine may ask at a time.
func (r *Reflector) Reconnected(ctx context.Context) bool {
	conn, ok := (*r.conn.Load()).(interface {
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

// Away reports whether the server did not answer the last time it was asked, and
// may any moment. One that answered nonsense is not away.
func (r *Reflector) Away() bool { return r.away.Load() }

// without is what Load gives when the server gave nothing.
func (r *Reflector) without(err error) (*Registry, Problems) {
	problem := Problem{File: r.name, Message: err.Error()}
	last, patient := r.last.Load(), r.patience.Load() > 0
	switch {
	case last != nil && (patient || errors.Is(err, errServerAway)):
		problem.Message += "; the one that it gave before stays in service"
	case !patient:
		return nil, Problems{problem}
	default:
		problem.Message += "; its methods are served once it can"
		last = r.empty()
	}
	problem.Warning = true
	return last, Problems{problem}
}

// useless is what Load gives when what the server gave is of no use: to one who
// waits for servers, what it gave before, else nothing.
func (r *Reflector) useless(problems Problems) (*Registry, Problems) {
	if r.patience.Load() == 0 {
		return nil, problems.Sorted()
	}
	for i := range problems {
		problems[i].Warning = true
	}
	registry := r.last.Load()
	if registry == nil {
		registry = r.empty()
	}
	return registry, problems.Sorted()
}

// empty is the registry of a server that told nothing.
func (r *Reflector) empty() *Registry {
	empty, _ := link(linkInput{source: r.name, display: r.display})
	return empty
}
