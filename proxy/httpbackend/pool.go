package httpbackend

import (
	"cmp"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/counted"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// Server is a server that an attempt is made at.
type Server = upstream.Server

// Servers chooses among the servers of an upstream.
type Servers interface {
	attempt.Servers
	// Release says that nobody uses the servers any more.
	Release()
}

var _ Servers = (*upstream.Conn)(nil)

// Protocol is how HTTP is spoken with servers.
type Protocol uint8

// The protocols. The zero Protocol is H1 for cleartext and Auto with TLS.
const (
	Unspecified Protocol = iota
	H1                   // HTTP/1.1
	Auto                 // what ALPN gives
	H2                   // HTTP/2 over TLS
	H2C                  // HTTP/2 over cleartext, without asking
)

// Times bound the parts of an exchange. Zero is the default.
type Times struct {
	// Connect bounds dialing, with the TLS handshake: 5 s.
	Connect time.Duration
	// ResponseHeader bounds the wait from the end of the request, or from what the server
	// took of it last, until the header of the answer: 60 s.
	ResponseHeader time.Duration
	// Idle bounds the time without a byte in either direction: 5 min; Upgraded the same
	// after an upgrade: 1 h.
	Idle, Upgraded time.Duration
	// Continue is how long a server that is to say whether it wants a body may take to say
	// so, before the body is sent all the same: 3 s, or half of ResponseHeader.
	Continue time.Duration
}

func (t Times) withDefaults() Times {
	return Times{
		Connect:        cmp.Or(t.Connect, 5*time.Second),
		ResponseHeader: cmp.Or(t.ResponseHeader, time.Minute),
		Idle:           cmp.Or(t.Idle, 5*time.Minute),
		Upgraded:       cmp.Or(t.Upgraded, t.Idle, time.Hour),
		Continue:       cmp.Or(t.Continue, min(3*time.Second, cmp.Or(t.ResponseHeader, time.Minute)/2)),
	}
}

// shortest is after which time an exchange may be late first.
func (t Times) shortest() time.Duration { return min(t.ResponseHeader, t.Idle, t.Upgraded) }

// Options describe how the servers of an upstream are spoken with. Upstreams of equal
// options share their connections.
type Options struct {
	// Target is where the servers are, as the chooser has it: it tells upstreams apart.
	Target upstream.Target
	// Protocol is how HTTP is spoken.
	Protocol Protocol
	// Times bound the parts of an exchange.
	Times Times
	// Credentials are what the servers know us by.
	Credentials Credentials
}

// key tells upstreams apart.
type key struct {
	target      upstream.Key
	protocol    Protocol
	times       Times
	credentials Credentials
}

// Pseudonym is our name in Via.
const Pseudonym = "transom"

// Pool holds the connections to all plain HTTP upstreams. They outlive a reload: each is
// keyed by its options, counted, and closed when nobody uses it any more.
type Pool struct {
	upstreams *counted.Pool[key, *Upstream]
	via       via
}

// NewPool returns an empty pool. pseudonym is our name in Via, by which a request that
// comes back is known: gateways in a row have different ones.
func NewPool(pseudonym string) *Pool {
	return &Pool{counted.NewPool[key]((*Upstream).close), newVia(pseudonym)}
}

// Get returns the upstream of the options, made now or shared. open is called where it is
// made. The caller owes one Release.
func (p *Pool) Get(o Options, open func(upstream.Target) (Servers, error)) (*Upstream, error) {
	k := key{o.Target.Key(), o.Protocol, o.Times, o.Credentials}
	return p.upstreams.Get(k, func() (*Upstream, error) { return newUpstream(p, k, o, open) })
}

// Upstream is the servers of one upstream and the connections to them. It is safe for
// concurrent use.
type Upstream struct {
	pool    *Pool
	key     key
	servers Servers
	via     *via
	times   Times
	tls     *upstream.Security // nil for cleartext
	own     *credentials       // nil for none
	http1   bool               // no other version is spoken
	// transport makes the exchanges that may be by HTTP/2; nil where none is.
	transport *http.Transport

	places  sync.Map // *place by the host of URLs and by Server
	last    atomic.Pointer[place]
	making  sync.Mutex  // of places
	made    int         // places, ever
	closed  atomic.Bool // no connection of ours waits for requests any more
	sweeps  atomic.Bool // sweep will be called
	sweeper sweeper
}

func newUpstream(p *Pool, k key, o Options, open func(upstream.Target) (Servers, error)) (*Upstream, error) {
	u := &Upstream{pool: p, key: k, via: &p.via, times: o.Times.withDefaults()}
	var err error
	if u.tls, err = upstream.NewSecurity(o.Target.TLS); err != nil {
		return nil, err
	}
	if u.own, err = newCredentials(o.Credentials); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if u.servers, err = open(o.Target); err != nil {
		return nil, err
	}
	protocol := o.Protocol
	if protocol == Unspecified {
		protocol = H1
		if u.tls != nil {
			protocol = Auto
		}
	}
	u.http1 = protocol == H1 || protocol == Auto && u.tls == nil // who does not use TLS cannot choose
	if !u.http1 {
		u.transport = u.newTransport(protocol)
	}
	return u, nil
}

// Release gives the upstream back; the last one closes its connections.
func (u *Upstream) Release() { _ = u.pool.upstreams.Release(u.key) } // close never fails

// close ends the connections that wait for requests. Nobody makes any more.
func (u *Upstream) close() error {
	if u.transport != nil {
		u.transport.CloseIdleConnections()
	}
	u.closeLinks()
	u.servers.Release()
	return nil
}

// NotReloaded says why the files of TLS or credentials are not in effect as they are now;
// "" where all is well.
func (u *Upstream) NotReloaded() string {
	return cmp.Or(u.tls.NotReloaded(), u.own.notReloaded())
}
