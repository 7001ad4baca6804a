package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

const (
	// dialTime bounds one attempt at one address, its handshakes included.
	dialTime = 5 * time.Second
	// firstPause and maxPause are how long an endpoint rests after a failure.
	firstPause = 100 * time.Millisecond
	maxPause   = 3 * time.Second
	// minKeepalive is the least silence before a ping: a server takes more of them
	// for abuse.
	minKeepalive = 10 * time.Second
	// userAgent is what backends see of us.
	userAgent = "transom"
)

// endpoint keeps one connection to one of its addresses, which are tried in
// turn.
type endpoint struct {
	owner     *Conn
	index     int // among those with the same addresses
	ctx       context.Context
	cancel    context.CancelFunc
	keepalive time.Duration // doubled where the backend finds it too short

	// guarded by owner.mu
	addresses []string
	address   string          // the one of conn
	conn      *transport.Conn // nil: none that takes calls
	failure   error           // of the last attempt; nil: none has failed since the last success
}

// connect starts an endpoint. c.mu is held.
func (c *Conn) connect(group []string, index int) *endpoint {
	e := &endpoint{owner: c, addresses: group, index: index}
	e.ctx, e.cancel = context.WithCancel(c.ctx)
	c.work.Go(e.run)
	return e
}

// retire ends the endpoint; its calls may finish. owner.mu is held.
func (e *endpoint) retire() {
	e.cancel()
	for conn, owner := range e.owner.open {
		if owner == e {
			conn.Leave()
		}
	}
	e.conn = nil
}

// run connects, and connects again, until the endpoint ends.
func (e *endpoint) run() {
	if e.keepalive = e.owner.target.Keepalive; e.keepalive > 0 {
		e.keepalive = max(e.keepalive, minKeepalive)
	}
	for pause := firstPause; e.ctx.Err() == nil; {
		conn, address, err := e.dial()
		if err != nil {
			e.fail(err)
			e.owner.resolveAgain()
			e.rest(pause)
			pause = min(maxPause, pause*8/5)
			continue
		}
		began := time.Now()
		if !e.use(conn, address) {
			return
		}
		select {
		case <-conn.Leaving():
		case <-e.ctx.Done():
			return
		}
		e.owner.lost(conn)
		if conn.TooManyPings() {
			e.keepalive *= 2
		}
		e.owner.resolveAgain()
		pause = firstPause
		if conn.Flooded() {
			e.fail(transport.ErrFlood)
			e.rest(maxPause)
			continue
		}
		if lived := time.Since(began); lived < firstPause {
			e.rest(firstPause - lived) // it takes connections and drops them
		}
	}
}

// rest waits, longer or shorter by a fifth.
func (e *endpoint) rest(pause time.Duration) {
	timer := time.NewTimer(scattered(pause))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.ctx.Done():
	}
}

// use makes a new connection the endpoint's and reports whether it still wants one.
func (e *endpoint) use(conn *transport.Conn, address string) bool {
	c := e.owner
	c.mu.Lock()
	if e.ctx.Err() != nil {
		c.mu.Unlock()
		conn.Close()
		<-conn.Done()
		return false
	}
	e.conn, e.address, e.failure = conn, address, nil
	c.open[conn] = e
	c.work.Go(func() {
		<-conn.Done()
		c.mu.Lock()
		delete(c.open, conn)
		c.mu.Unlock()
	})
	c.retireVanished()
	c.publish()
	c.mu.Unlock()
	conn.Offer()
	c.report()
	return true
}

func (e *endpoint) fail(err error) {
	c := e.owner
	c.mu.Lock()
	if e.ctx.Err() == nil {
		e.failure = err
		c.publish()
	}
	c.mu.Unlock()
	c.report()
}

// dial tries the addresses in turn.
func (e *endpoint) dial() (conn *transport.Conn, address string, err error) {
	e.owner.mu.Lock()
	addresses := e.addresses
	e.owner.mu.Unlock()
	for _, address = range addresses {
		if conn, err = e.dialOne(address); err == nil {
			return conn, address, nil
		}
	}
	return nil, "", err
}

func (e *endpoint) dialOne(address string) (*transport.Conn, error) {
	ctx, cancel := context.WithTimeout(e.ctx, dialTime)
	defer cancel()
	c := e.owner
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, c.network, address)
	if err != nil {
		return nil, err
	}
	options := transport.Options{Authority: c.authority, UserAgent: userAgent, Pool: proxy.Buffers, Keepalive: e.keepalive, Room: c.line.take}
	if c.tls != nil {
		options.Scheme = "https"
		if conn, err = handshake(ctx, conn, c.tls.current(), c.authority); err != nil {
			return nil, err
		}
	}
	return transport.New(ctx, conn, options)
}

// handshake takes the connection over.
func handshake(ctx context.Context, conn net.Conn, config *tls.Config, authority string) (net.Conn, error) {
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = authority
		if host, _, err := net.SplitHostPort(authority); err == nil {
			config.ServerName = host
		}
	}
	secure := tls.Client(conn, config)
	err := secure.HandshakeContext(ctx)
	if err == nil && secure.ConnectionState().NegotiatedProtocol != "h2" {
		err = errNotHTTP2
	}
	if err != nil {
		_ = conn.Close() // err is the one to report
		return nil, err
	}
	return secure, nil
}

var errNotHTTP2 = errors.New("the server does not offer HTTP/2 (ALPN)")
