package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

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
	network   string
	tls       *tls.Config // nil for cleartext

	ready atomic.Pointer[[]*transport.Conn] // what calls are spread over; never changed
	next  atomic.Uint32

	ctx    context.Context // ends with the Conn
	cancel context.CancelFunc
	work   sync.WaitGroup // endpoints, and connections that are open

	mu            sync.Mutex
	changed       chan struct{} // closed and replaced when anything below changes
	resolver      resolver.Resolver
	endpoints     []*endpoint
	open          map[*transport.Conn]*endpoint // those in use, and those with calls to be finished
	failure       error                         // why there are no addresses
	failureLogged bool                          // the log heard that the backend cannot be reached

	pool  *Pool
	key   string
	users int // guarded by pool.mu
}

var errClosed = errors.New("the connection to the backend is closed")

func newConn(t Target, log *slog.Logger) (*Conn, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	builder, parsed, err := t.resolver()
	if err != nil {
		return nil, err
	}
	c := &Conn{target: t, log: log, network: network(parsed), tls: config, changed: make(chan struct{}), open: map[*transport.Conn]*endpoint{}}
	c.authority = t.authority(builder, parsed)
	c.ready.Store(new([]*transport.Conn))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	found, err := builder.Build(parsed, (*addresses)(c), resolver.BuildOptions{DisableServiceConfig: true, Authority: c.authority})
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("target %q: %w", t.Address, err)
	}
	c.mu.Lock()
	c.resolver = found
	c.mu.Unlock()
	return c, nil
}

// close ends all calls, and returns when nothing of the Conn runs any more.
func (c *Conn) close() {
	c.cancel()
	c.resolver.Close()
	c.mu.Lock()
	for _, e := range c.endpoints {
		e.conn = nil
	}
	c.endpoints, c.failure = nil, errClosed
	c.publish()
	open := slices.Collect(maps.Keys(c.open))
	c.mu.Unlock()
	for _, conn := range open {
		conn.Close()
	}
	c.work.Wait()
}

// Target returns what the connection leads to.
func (c *Conn) Target() Target { return c.target }

// publish makes known what has changed. c.mu is held.
func (c *Conn) publish() {
	ready := make([]*transport.Conn, 0, len(c.endpoints))
	for _, e := range c.endpoints {
		if e.conn != nil {
			ready = append(ready, e.conn)
		}
	}
	if !slices.Equal(ready, *c.ready.Load()) {
		c.ready.Store(&ready)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// pick returns a connection that is ready. It waits for one that is being made,
// and fails where the last attempt at each address has.
func (c *Conn) pick(ctx context.Context) (*transport.Conn, error) {
	for {
		if ready := *c.ready.Load(); len(ready) == 1 {
			return ready[0], nil
		} else if len(ready) > 1 {
			return ready[c.next.Add(1)%uint32(len(ready))], nil
		}
		c.mu.Lock()
		err := c.why()
		changed := c.changed
		nothing := len(*c.ready.Load()) == 0
		c.mu.Unlock()
		switch {
		case !nothing:
			continue
		case err != nil:
			return nil, status.Error(codes.Unavailable, reason(err))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// why is the reason that there is no connection and that none is about to be.
// c.mu is held.
func (c *Conn) why() error {
	if len(c.endpoints) == 0 {
		return c.failure
	}
	var err error
	for _, e := range c.endpoints {
		if err = e.failure; err == nil {
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
	for _, e := range c.endpoints {
		if e.conn == conn {
			e.conn = nil
			c.publish()
		}
	}
}

// State tells how the backend can be reached: READY by at least one connection,
// TRANSIENT_FAILURE by none.
func (c *Conn) State() connectivity.State {
	if len(*c.ready.Load()) > 0 {
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

// Failure is why the backend cannot be reached, for the operator: it may hold
// addresses. It is nil where the state is not TRANSIENT_FAILURE.
func (c *Conn) Failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(*c.ready.Load()) > 0 || c.ctx.Err() != nil {
		return nil
	}
	return c.why()
}

// report tells the log, once, that the backend cannot be reached, and when it is
// again.
func (c *Conn) report() {
	c.mu.Lock()
	reached, failure, said := len(*c.ready.Load()) > 0, c.why(), c.failureLogged
	if reached || c.ctx.Err() != nil {
		failure = nil
	}
	if failure != nil || reached {
		c.failureLogged = failure != nil
	}
	c.mu.Unlock()
	switch {
	case failure != nil && !said:
		c.log.Warn("the backend cannot be reached", "target", c.target.Address, "error", failure.Error())
	case said && reached:
		c.log.Info("the backend is reached again", "target", c.target.Address)
	}
}

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
