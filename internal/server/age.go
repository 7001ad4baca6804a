package server

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// ages ends connections by their age: clients connect anew, perhaps to another gateway. The
// first answer after that closes an HTTP/1 connection, and is followed by a GOAWAY on one of
// HTTP/2. What is still under way when the grace is over is cut.
type ages struct {
	next  http.Handler
	age   time.Duration
	grace time.Duration // 0: nothing is cut
	cuts  sync.Map      // *time.Timer by net.Conn
}

// newAges returns nil where a listener's connections may get as old as they like.
func newAges(c *transomv1.Listener, next http.Handler) *ages {
	age := c.GetMaxConnectionAge().AsDuration()
	if age == 0 {
		return nil
	}
	return &ages{next: next, age: age, grace: c.GetMaxConnectionAgeGrace().AsDuration()}
}

// dueKey is the key of the time.Time in a connection's context at which it is too old.
type dueKey struct{}

// ageOf is the age that a connection may reach. A tenth more or less keeps those that came
// together from coming again together.
func ageOf(limit time.Duration) time.Duration {
	return time.Duration(float64(limit) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // nobody gains by guessing it
}

// begin has a connection get old.
func (a *ages) begin(ctx context.Context, c net.Conn) context.Context {
	age := ageOf(a.age)
	if a.grace > 0 {
		a.cuts.Store(c, time.AfterFunc(age+a.grace, func() { _ = c.Close() })) // it may be closed already
	}
	return context.WithValue(ctx, dueKey{}, time.Now().Add(age))
}

// change is told what becomes of a connection. One that a WebSocket has taken over ends with
// that.
func (a *ages) change(c net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	if cut, ok := a.cuts.LoadAndDelete(c); ok {
		if timer, ok := cut.(*time.Timer); ok {
			timer.Stop()
		}
	}
}

// ServeHTTP implements http.Handler.
func (a *ages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if due, ok := r.Context().Value(dueKey{}).(time.Time); ok && time.Now().After(due) {
		w.Header()["Connection"] = []string{"close"} // net/http makes a GOAWAY of it on HTTP/2
	}
	a.next.ServeHTTP(w, r)
}
