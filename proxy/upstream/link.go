package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
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

// link keeps one connection to an endpoint, whose addresses are tried in turn.
type link struct {
	owner     *Conn
	endpoint  *Endpoint
	ctx       context.Context
	cancel    context.CancelFunc
	keepalive time.Duration // doubled where the backend finds it too short

	// guarded by owner.mu
	address string          // the one of conn
	conn    *transport.Conn // nil: none that takes calls
	needed  time.Time       // the last moment at which the endpoint could not do without it
	failure error           // of the last attempt; nil: none has failed since the last success
}

// retire ends the link; its calls may finish. owner.mu is held.
func (l *link) retire() {
	l.cancel()
	for conn, owner := range l.owner.open {
		if owner == l {
			conn.Leave()
		}
	}
	l.conn = nil
}

// run connects, and connects again, until the link ends.
func (l *link) run() {
	if l.keepalive = l.owner.target.Keepalive; l.keepalive > 0 {
		l.keepalive = max(l.keepalive, minKeepalive)
	}
	spoke := false
	for pause := firstPause; l.ctx.Err() == nil; {
		conn, address, err := l.dial()
		if err != nil {
			if spoke {
				err = known(err)
			}
			l.fail(err)
			l.owner.resolveAgain()
			l.rest(pause)
			pause = min(maxPause, pause*8/5)
			continue
		}
		spoke = true
		began := time.Now()
		if !l.use(conn, address) {
			return
		}
		conn, wanted := l.keep(conn)
		if !wanted {
			return
		}
		l.owner.lost(conn)
		if conn.TooManyPings() {
			l.keepalive *= 2
		}
		l.owner.resolveAgain()
		pause = firstPause
		if conn.Flooded() {
			l.fail(transport.ErrFlood)
			l.rest(maxPause)
			continue
		}
		if lived := time.Since(began); lived < firstPause {
			l.rest(firstPause - lived) // it takes connections and drops them
		}
	}
}

// rest waits, longer or shorter by a fifth.
func (l *link) rest(pause time.Duration) {
	timer := time.NewTimer(scattered(pause))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ctx.Done():
	}
}

// use makes a new connection the link's and reports whether it still wants one.
func (l *link) use(conn *transport.Conn, address string) bool {
	c := l.owner
	c.mu.Lock()
	if l.ctx.Err() != nil {
		c.mu.Unlock()
		conn.Close()
		<-conn.Done()
		return false
	}
	c.connects(l.endpoint)
	l.conn, l.address, l.failure = conn, address, nil
	c.open[conn] = l
	c.work.Go(func() {
		<-conn.Leaving()
		c.lost(conn)
		<-conn.Done()
		c.mu.Lock()
		delete(c.open, conn)
		c.mu.Unlock()
	})
	c.retireVanished()
	c.publish()
	c.mu.Unlock()
	conn.Offer()
	if conn.Busy() {
		// Calls that waited may have filled it before it was the link's: then nobody
		// has looked at it.
		c.nearlyFull(l.endpoint)
	}
	c.report()
	return true
}

func (l *link) fail(err error) {
	c := l.owner
	c.mu.Lock()
	if l.ctx.Err() == nil {
		l.failure = err
		c.publish()
	}
	c.mu.Unlock()
	c.report()
}

// dial tries the addresses in turn.
func (l *link) dial() (conn *transport.Conn, address string, err error) {
	l.owner.mu.Lock()
	addresses := l.endpoint.addresses
	l.owner.mu.Unlock()
	for _, address = range addresses {
		if conn, err = l.dialOne(address); err == nil {
			return conn, address, nil
		}
	}
	return nil, "", err
}

func (l *link) dialOne(address string) (*transport.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, dialTime)
	defer cancel()
	c := l.owner
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, c.network, address)
	if err != nil {
		return nil, err
	}
	options := transport.Options{Authority: c.authority, UserAgent: userAgent, Pool: proxy.Buffers, Keepalive: l.keepalive, Room: c.line.take, Loads: []*atomic.Int64{&l.endpoint.active}}
	if _, most := c.target.connections(); most > 1 {
		options.Busy = func() { c.nearlyFull(l.endpoint) }
	}
	if c.target.LoadBalancing == byHash {
		options.Loads = append(options.Loads, &c.load)
	}
	if c.tls != nil {
		options.Scheme = "https"
		if conn, err = handshake(ctx, conn, c.tls.Current(), c.authority); err != nil {
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
