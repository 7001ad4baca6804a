// Package concurrency is the field concurrency: so many calls of a method run at once,
// and so many more wait. Streams take their places at their admission, unary calls
// before the backend.
package concurrency

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// defaultQueueTimeout is how long a call waits for its turn where the policy
// says nothing.
const defaultQueueTimeout = time.Second

// maxQueue bounds what a policy may set as max and queue.
const maxQueue = 1 << 20

// places lets so many calls of a method run at once and so many more wait.
type places struct {
	gate *gate
	// max and queue belong to the policy, not the gate: the gate outlives reloads,
	// and each call brings the figures it came under.
	max, queue int
	timeout    time.Duration
	done       policy.Done // of every call
}

// gateKey is the key of a method's gate in State.
type gateKey struct{ rpc string }

// Streams is the policy concurrency of methods that stream, and of plain HTTP routes:
// they take their place when they are admitted; requests under a key, when they are made.
func Streams() policy.Kind {
	return policy.Kind{Field: "concurrency", Compile: func(s *policy.Scope) policy.Part {
		if isUnary(s) {
			return nil
		}
		if p := compile(s); p != nil {
			return &streams{places: p}
		}
		return nil
	}}
}

// Calls is the policy concurrency of unary methods: a call takes its place before it
// goes to the backend, so that one which never gets there takes none.
func Calls() policy.Kind {
	return policy.Kind{Field: "concurrency", Compile: func(s *policy.Scope) policy.Part {
		if !isUnary(s) {
			return nil
		}
		if p := compile(s); p != nil {
			return &calls{p}
		}
		return nil
	}}
}

func isUnary(s *policy.Scope) bool { return s.Method != nil && !s.Stream() }

// compile reads the field; nil where it is not set.
func compile(s *policy.Scope) *places {
	rule := s.Policy.GetConcurrency()
	if rule == nil {
		return nil
	}
	p := &places{max: int(rule.GetMax()), queue: int(rule.GetQueue()), timeout: defaultQueueTimeout}
	if p.max < 1 || p.max > maxQueue {
		s.Refuse("concurrency.max", "concurrency.max is %d; expected 1 to %d calls", p.max, maxQueue)
	}
	if p.queue > maxQueue {
		s.Refuse("concurrency.queue", "concurrency.queue is %d; expected at most %d calls", p.queue, maxQueue)
	}
	if rule.GetQueueTimeout() != nil {
		p.timeout = rule.GetQueueTimeout().AsDuration()
		if p.timeout <= 0 {
			s.Refuse("concurrency.queue_timeout", "concurrency.queue_timeout is %v; expected a time above 0, or queue 0 to wait for nothing", span.Text(p.timeout))
		} else if p.queue == 0 {
			s.Refuse("concurrency.queue_timeout", "concurrency.queue_timeout is %v, but nothing waits without concurrency.queue: set how many may, or remove it", span.Text(p.timeout))
		}
	}
	var err error
	p.gate, err = policy.Lease(s.Generation, gateKey{s.RPC}, func() (*gate, error) { return &gate{}, nil })
	if err != nil {
		s.Refuse("concurrency", "%v", err)
		return nil
	}
	p.done = p.gate.done
	return p
}

// Name implements Part.
func (p *places) Name() string { return "concurrency" }

// Summary is one line for explain.
func (p *places) Summary() string {
	text := fmt.Sprintf("at most %d at once", p.max)
	if p.queue > 0 {
		text += fmt.Sprintf(", %d more wait up to %s", p.queue, span.Text(p.timeout))
	}
	return text
}

// take waits for a place, which done gives back. The error is a gRPC status error.
func (p *places) take(ctx context.Context, r *policy.Request) error {
	switch err := p.gate.enter(ctx, p.max, p.queue, p.timeout); err {
	case nil:
		return nil
	case errFull:
		policy.RetryAfter(r.ResponseHeader, time.Second)
		return policy.Refusal(codes.Unavailable, "too many calls of this method are running; try again soon",
			&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	default:
		return status.FromContextError(err).Err()
	}
}

// admit takes a place at admission.
func (p *places) admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if err := p.take(ctx, r); err != nil {
		return ctx, nil, err
	}
	return ctx, p.done, nil
}

// streams hold their places from their admission to their end.
type streams struct {
	*places
	keys keyed // nil where no request has a key
}

// keyed is the policy whose requests may be answered without being made.
type keyed interface {
	// Keyed reports whether a request is under a key. It takes its place by Enter, if it is made.
	Keyed(r *policy.Request) bool
}

var (
	_ policy.Admitter = (*streams)(nil)
	_ policy.Finisher = (*streams)(nil)
)

// Finish implements Finisher.
func (p *streams) Finish(s *policy.Set, _ []policy.Route) { p.keys, _ = policy.Find[keyed](s) }

// Admit implements Admitter.
func (p *streams) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if p.keys != nil && p.keys.Keyed(r) {
		return ctx, nil, nil
	}
	return p.admit(ctx, r)
}

// Enter takes a place for an admitted request under a key, which leave gives back.
func (p *streams) Enter(ctx context.Context, r *policy.Request) (leave func(), err error) {
	if err := p.take(ctx, r); err != nil {
		return nil, r.Refuse(p, err)
	}
	return p.gate.release, nil
}

// calls hold their places while the backend works for them.
type calls struct{ *places }

var (
	_ policy.Admitter = (*calls)(nil)
	_ policy.Wrapper  = (*calls)(nil)
)

// Admit implements Admitter: a WebSocket takes its place like a stream, for once it is
// open its client can no longer be told to come again.
func (p *calls) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if r.WebSocket {
		return p.admit(ctx, r)
	}
	return ctx, nil, nil
}

// Decides implements Wrapper.
func (*calls) Decides() bool { return true }

// Wrap implements Wrapper.
func (p *calls) Wrap(next proxy.Backend) proxy.Backend { return &backend{Backend: next, calls: p} }

// backend is one whose calls wait for their places.
type backend struct {
	proxy.Backend
	calls *calls
}

// Call implements proxy.Backend.
func (b *backend) Call(ctx context.Context, method string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	r := policy.RequestOf(ctx)
	if r == nil || r.WebSocket {
		return b.Backend.Call(ctx, method, header, request)
	}
	if err := b.calls.take(ctx, r); err != nil {
		request.Free()
		return proxy.Reply{}, r.Refuse(b.calls, err)
	}
	defer b.calls.gate.release()
	return b.Backend.Call(ctx, method, header, request)
}

// gate counts the calls of one method that run, and keeps those that wait in
// the order of their arrival. It survives reloads.
type gate struct {
	mu             sync.Mutex
	max            int // of the call that came last: a new policy holds at once
	running        int
	waiting        int
	oldest, newest *waiter
}

// waiter is a call in the queue.
type waiter struct {
	turn         chan struct{} // closed when the call may run
	before, next *waiter
	gone         bool // it no longer waits: its turn came, or it gave up
}

type gateError string

func (e gateError) Error() string { return string(e) }

const errFull = gateError("full")

// Close implements io.Closer for State; there is nothing to close.
func (g *gate) Close() error { return nil }

// enter waits for a place. The error is errFull or the context's.
func (g *gate) enter(ctx context.Context, limit, queue int, timeout time.Duration) error {
	g.mu.Lock()
	g.max = limit
	g.wake() // a larger max than before has places for those who wait
	if g.running < g.max && g.waiting == 0 {
		g.running++
		g.mu.Unlock()
		return nil
	}
	if g.waiting >= queue {
		g.mu.Unlock()
		return errFull
	}
	w := &waiter{turn: make(chan struct{})}
	g.push(w)
	g.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var err error
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errFull
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.gone { // its turn came at the same moment: give the place on
		g.leave()
		return err
	}
	g.remove(w)
	return err
}

// done is the Done of an admitted call.
func (g *gate) done(*policy.Outcome) { g.release() }

// release gives a place back.
func (g *gate) release() {
	g.mu.Lock()
	g.leave()
	g.mu.Unlock()
}

// leave gives a place on; mu is held.
func (g *gate) leave() {
	g.running--
	g.wake()
}

// wake lets the oldest waiters run as far as there are places; mu is held.
func (g *gate) wake() {
	for w := g.oldest; w != nil && g.running < g.max; w = g.oldest {
		g.remove(w)
		g.running++
		close(w.turn)
	}
}

func (g *gate) push(w *waiter) {
	g.waiting++
	w.before = g.newest
	if g.newest == nil {
		g.oldest = w
	} else {
		g.newest.next = w
	}
	g.newest = w
}

func (g *gate) remove(w *waiter) {
	g.waiting--
	w.gone = true
	if w.before == nil {
		g.oldest = w.next
	} else {
		w.before.next = w.next
	}
	if w.next == nil {
		g.newest = w.before
	} else {
		w.next.before = w.before
	}
}
