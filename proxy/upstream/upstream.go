// Package upstream keeps what calls are made on: the addresses of a backend as a
// resolver gives them, the connections to each, and the choice among them.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/transport"
)

// Conn is a backend's connections, as one: its addresses come from grpc-go's
// resolvers, each is kept connected by an endpoint, and calls are spread over
// those that are ready.
type Conn struct {
	target    Target
	log       *slog.Logger
	authority string
	named     bool // the authority is the name of all endpoints
	network   string
	tls       *Security // nil for cleartext
	words     wording   // of its resolver's failures
	onList    func()    // hears how a file of addresses is; nil where there is none

	choice   atomic.Pointer[choice]             // what calls are spread over
	services atomic.Pointer[map[string]*choice] // for those that are not well everywhere; nil: services are not told apart
	balancer balancer
	load     atomic.Int64 // calls under way at all endpoints, where the balancer asks
	line     line
	budget   Budget

	ctx    context.Context // ends with the Conn
	cancel context.CancelFunc
	work   sync.WaitGroup // endpoints, and connections that are open

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced when anything below changes
	resolver   resolver.Resolver
	endpoints  []*Endpoint
	vanished   []*Endpoint               // in use though their addresses are gone, until others are connected
	draining   []*Endpoint               // plain servers that finish the requests that they have
	open       map[*transport.Conn]*link // those in use, and those with calls to be finished
	failure    error                     // why there are no addresses
	crowd      int                       // how many addresses the resolver gave last
	unresolved error                     // why the last question for the addresses had no answer
	growing    *time.Timer               // has the endpoints weighed again, while one is young
	narrowing  *time.Timer               // has connections ended that are not needed, while there may be some
	choosing   *time.Timer               // has the endpoints chosen again; nil: they are those that there are
	chosen     time.Time                 // when they were chosen last
	checking   checking                  // of the endpoints' health
	panics     bool                      // too few endpoints are without a bar
	takenOut   map[string]bool           // by address: an operator has said so
	reported   reported                  // what the log has heard

	pool *Pool
}

// ErrTarget is wrapped by errors of a target that cannot be used.
var ErrTarget = errors.New("target")

var errClosed = errors.New("the connection to the backend is closed")

func newConn(t Target, p *Pool) (*Conn, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	secure, err := NewSecurity(t.TLS)
	if err != nil {
		return nil, err
	}
	builder, parsed, err := t.resolver()
	if err != nil {
		return nil, err
	}
	c := &Conn{target: t, pool: p, log: p.log, network: network(parsed), tls: secure, changed: make(chan struct{}), open: map[*transport.Conn]*link{}}
	c.balancer = balancers[t.LoadBalancing](c)
	c.authority = t.authority(builder, parsed)
	c.named = true
	c.words, c.line.advice = ofNames, callsWait
	if t.Plain {
		c.line.advice = requestsWait
	}
	switch builder.(type) {
	case listed:
		c.named = t.Authority != ""
	case fileBuilder:
		c.named = t.Authority != ""
		c.words, c.onList = ofLists, p.listed
	case kubernetesBuilder:
		c.words = ofLists
	}
	c.choice.Store(new(choice))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	found, err := builder.Build(parsed, (*addresses)(c), resolver.BuildOptions{DisableServiceConfig: true, Authority: c.authority})
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("%w %q: %w", ErrTarget, t.Name(), err)
	}
	c.mu.Lock()
	c.resolver = found
	c.mu.Unlock()
	return c, nil
}

// close ends all calls, and returns when nothing of the Conn runs any more. It never
// fails.
func (c *Conn) close() error {
	c.cancel()
	c.resolver.Close()
	c.mu.Lock()
	for _, timer := range []*time.Timer{c.growing, c.narrowing, c.choosing} {
		if timer != nil {
			timer.Stop()
		}
	}
	c.checking.end()
	for _, e := range slices.Concat(c.endpoints, c.vanished) {
		for _, l := range e.links {
			l.conn = nil
		}
		e.publish()
	}
	c.endpoints, c.vanished, c.failure = nil, nil, errClosed
	c.publish()
	open := slices.Collect(maps.Keys(c.open))
	c.mu.Unlock()
	for _, conn := range open {
		conn.Close()
	}
	c.work.Wait()
	return nil
}

// Budget bounds the retries of all calls to the backend.
func (c *Conn) Budget() *Budget { return &c.budget }

// Target returns what the connection leads to.
func (c *Conn) Target() Target { return c.target }

// publish makes known what has changed. c.mu is held.
func (c *Conn) publish() {
	now := time.Now()
	for _, e := range slices.Concat(c.endpoints, c.vanished) {
		e.publish()
		e.age(now)
	}
	c.markAll(now)
	connected := c.connected()
	c.panics = c.tooFew(connected)
	trials := trialsOf(connected)
	usable, before := c.usable(connected), c.choice.Load()
	weighed := c.weigh(usable)
	if weighed || !slices.Equal(usable, before.endpoints) || !slices.Equal(trials, before.trials) {
		c.chooseSoon(usable, trials...)
	}
	c.chooseByService(weighed)
	if len(usable) == 0 {
		c.line.dissolve() // there is nothing to wait for
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// choiceOf makes a choice of the endpoints.
func (c *Conn) choiceOf(endpoints []*Endpoint) *choice {
	next := &choice{endpoints: endpoints, tickets: c.ticketsOf(endpoints)}
	if len(endpoints) > 1 {
		next.picker = c.balancer.picker(endpoints)
	}
	return next
}

// reached reports whether there is a connection.
func (c *Conn) reached() bool { return len(c.choice.Load().endpoints) > 0 }

// pick returns a connection that is ready and whose server takes one call more,
// and whether it keeps a stream for this one. It waits for a connection that is
// being made, or for room, and fails where the last attempt at each address has. t
// is the same for all picks of a call.
func (c *Conn) pick(ctx context.Context, t *Turn) (conn *transport.Conn, reserved bool, err error) {
	t.dropTrial()
	t.goes(nil)
	for {
		if c.line.waiting.Load() == 0 {
			if conn := c.withRoom(t); conn != nil {
				return conn, false, nil
			}
		}
		c.mu.Lock()
		err := c.why()
		changed := c.changed
		reached := c.reached()
		c.mu.Unlock()
		switch {
		case reached:
			if conn, err := c.await(ctx, t); conn != nil || err != nil {
				return conn, true, err
			}
			continue
		case err != nil:
			return nil, false, status.Error(codes.Unavailable, Reason(err))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// await waits in line until a connection keeps a stream for the call. It returns
// nil where there is none any more.
func (c *Conn) await(ctx context.Context, t *Turn) (*transport.Conn, error) {
	c.mu.Lock()
	log := c.log
	if c.mayGrow() {
		log = slog.New(slog.DiscardHandler) // it is no lack of room yet
	}
	c.mu.Unlock()
	w, err := c.line.join(&t.line, log.With("target", c.target.Name()))
	if err != nil {
		return nil, err
	}
	if conn := c.withRoom(t); conn != nil {
		t.dropTrial()
		conn.Offer() // there is since before we joined, maybe for another one in line
	}
	if !c.reached() {
		c.line.dissolve()
	}
	conn, err := c.line.wait(ctx, &t.line, w)
	t.goes(c.endpointOf(conn))
	return conn, err
}

// withRoom returns a connection that takes a call, nil where there is none.
func (c *Conn) withRoom(t *Turn) *transport.Conn {
	e := c.choice.Load().trial(t)
	if e == nil {
		e = c.choiceFor(t).pick(t.place, t.tried)
	}
	if e == nil {
		return nil
	}
	conn := e.conn()
	if conn == nil {
		t.dropTrial()
		return nil
	}
	t.goes(e)
	return conn
}

// why is the reason that there is no connection and that none is about to be.
// c.mu is held.
func (c *Conn) why() error {
	if len(c.endpoints) == 0 {
		return c.failure
	}
	if c.panics && c.target.FailClosed {
		return errNoneUsable
	}
	var err error
	for _, e := range c.endpoints {
		if err = e.why(); err == nil {
			return nil
		}
	}
	return err
}

// lost takes a connection off that takes no calls any more, before its endpoint
// has noticed.
func (c *Conn) lost(conn *transport.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range slices.Concat(c.endpoints, c.vanished) {
		for _, l := range e.links {
			if l.conn == conn {
				l.conn = nil
				c.retireVanished()
				c.publish()
			}
		}
	}
}

// State tells how the backend can be reached: READY by at least one connection,
// TRANSIENT_FAILURE by none.
func (c *Conn) State() connectivity.State {
	if c.reached() {
		return connectivity.Ready
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ctx.Err() != nil:
		return connectivity.Shutdown
	case c.why() != nil:
		return connectivity.TransientFailure
	}
	return connectivity.Connecting
}

// Failure is what is wrong, for the operator: it may hold addresses. In the state
// TRANSIENT_FAILURE it is why the backend cannot be reached, in the state READY why
// its name could not be resolved again, or that calls wait for room.
func (c *Conn) Failure() error {
	waiting, _, _ := c.line.counts()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ctx.Err() != nil:
		return nil
	case !c.reached():
		return withTLSAdvice(c.why())
	case c.unresolved != nil:
		return fmt.Errorf("the addresses known so far are in use: %w", c.unresolved)
	case waiting > 0 && c.target.Plain:
		return fmt.Errorf("%d requests wait: the servers have as many as max_connections allows", waiting)
	case waiting > 0:
		return fmt.Errorf("%d calls wait: the connections have all the streams that the backend allows", waiting)
	}
	return nil
}

// Waiting is how many calls wait because the backend takes no more at once, how
// many have waited so far and were sent, and how many waited in vain.
func (c *Conn) Waiting() (now int, served, refused uint64) { return c.line.counts() }

// StateChanged waits until something about the connections changes, however
// shortly, and reports whether it did before ctx ended.
func (c *Conn) StateChanged(ctx context.Context) bool {
	c.mu.Lock()
	changed := c.changed
	c.mu.Unlock()
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	}
}

// resolveAgain asks whether the addresses are still right.
func (c *Conn) resolveAgain() {
	c.mu.Lock()
	r := c.resolver
	c.mu.Unlock()
	if r != nil && c.ctx.Err() == nil {
		r.ResolveNow(resolver.ResolveNowOptions{})
	}
}
