package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
)

// Target says where a backend is and how to talk to it. Equal targets share
// their connections.
type Target struct {
	// Address in gRPC's own syntax: host:port, dns:///host:port, unix:/path.
	Address string
	// Authority is the :authority to send; empty for the address's own.
	Authority string
	// Connections over which calls are spread in turn; 0 means 1.
	Connections int
	// LoadBalancing is gRPC's policy over the resolved addresses; empty means
	// round_robin.
	LoadBalancing string
	// Keepalive pings a quiet connection after so long; 0 means never.
	Keepalive time.Duration
	// TLS: nil means cleartext.
	TLS *TLS
}

// TLS says how a backend is checked and who we say we are. Files are PEM.
type TLS struct {
	CA, Certificate, Key string
	ServerName           string
	InsecureSkipVerify   bool
}

// key tells targets apart. Files are named, not read: a changed certificate is
// a new connection only where grpc-go makes one.
func (t Target) key() string {
	key := fmt.Sprintf("%q %q %d %q %d", t.Address, t.Authority, t.Connections, t.LoadBalancing, t.Keepalive)
	if t.TLS != nil {
		key += fmt.Sprintf(" %+q", []string{t.TLS.CA, t.TLS.Certificate, t.TLS.Key, t.TLS.ServerName}) + fmt.Sprint(t.TLS.InsecureSkipVerify)
	}
	return key
}

// Pool holds the connections to all backends. They outlive a reload: each is
// keyed by its target, counted, and closed when nobody uses it any more.
type Pool struct {
	mu    sync.Mutex
	conns map[string]*Conn
}

// NewPool returns an empty pool.
func NewPool() *Pool { return &Pool{conns: map[string]*Conn{}} }

// Get returns the connection to the target, made now or shared. It does not
// wait for the backend. The caller owes one Release.
func (p *Pool) Get(t Target) (*Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := t.key()
	if c := p.conns[key]; c != nil {
		c.users++
		return c, nil
	}
	c, err := dial(t)
	if err != nil {
		return nil, err
	}
	c.pool, c.key, c.users = p, key, 1
	p.conns[key] = c
	return c, nil
}

// Conn is a backend's connections, as one.
type Conn struct {
	target Target
	conns  []*grpc.ClientConn
	next   atomic.Uint32

	pool  *Pool
	key   string
	users int // guarded by pool.mu
}

var _ grpc.ClientConnInterface = (*Conn)(nil)

// Release gives the connection back; the last one closes it.
func (c *Conn) Release() {
	c.pool.mu.Lock()
	c.users--
	last := c.users == 0
	if last {
		delete(c.pool.conns, c.key)
	}
	c.pool.mu.Unlock()
	if last {
		for _, conn := range c.conns {
			_ = conn.Close() // it reports only that it was closed before
		}
	}
}

// Target returns what the connection leads to.
func (c *Conn) Target() Target { return c.target }

// State returns the best state of the connections.
func (c *Conn) State() connectivity.State {
	best := connectivity.Shutdown
	for _, conn := range c.conns {
		if s := conn.GetState(); rank(s) < rank(best) {
			best = s
		}
	}
	return best
}

func rank(s connectivity.State) int {
	for i, have := range []connectivity.State{
		connectivity.Ready, connectivity.Idle, connectivity.Connecting, connectivity.TransientFailure,
	} {
		if s == have {
			return i
		}
	}
	return 9
}

// Connect leaves the idle state, so that the first call need not wait.
func (c *Conn) Connect() {
	for _, conn := range c.conns {
		conn.Connect()
	}
}

func (c *Conn) pick() *grpc.ClientConn {
	if len(c.conns) == 1 {
		return c.conns[0]
	}
	return c.conns[c.next.Add(1)%uint32(len(c.conns))]
}

// Invoke implements grpc.ClientConnInterface.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.pick().Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.pick().NewStream(ctx, desc, method, opts...)
}

func dial(t Target) (*Conn, error) {
	if t.Address == "" {
		return nil, errors.New("the target is empty; expected host:port, dns:///host:port or unix:/path")
	}
	creds, err := t.credentials()
	if err != nil {
		return nil, err
	}
	balancing := t.LoadBalancing
	if balancing == "" {
		balancing = "round_robin"
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(fmt.Sprintf(`{"loadBalancingConfig":[{%q:{}}]}`, balancing)),
		grpc.WithDisableServiceConfig(), // its retries would act below ours
		grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithIdleTimeout(0),
		experimental.WithBufferPool(pool),
	}
	if t.Authority != "" {
		options = append(options, grpc.WithAuthority(t.Authority))
	}
	if t.Keepalive > 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: t.Keepalive, Timeout: 10 * time.Second}))
	}
	c := &Conn{target: t}
	for range max(1, t.Connections) {
		conn, err := grpc.NewClient(t.Address, options...)
		if err != nil {
			for _, made := range c.conns {
				_ = made.Close() // the first error is the one to report
			}
			return nil, fmt.Errorf("target %q: %w", t.Address, err)
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func (t Target) credentials() (credentials.TransportCredentials, error) {
	if t.TLS == nil {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.TLS.ServerName,
		InsecureSkipVerify: t.TLS.InsecureSkipVerify, //nolint:gosec // the operator asked for it, for tests
	}
	if t.TLS.CA != "" {
		pem, err := os.ReadFile(t.TLS.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no PEM certificate", t.TLS.CA)
		}
	}
	if (t.TLS.Certificate == "") != (t.TLS.Key == "") {
		return nil, errors.New("tls: certificate and key go together; only one is set")
	}
	if t.TLS.Certificate != "" {
		// Read at each handshake, so that a renewed certificate is used.
		if _, err := tls.LoadX509KeyPair(t.TLS.Certificate, t.TLS.Key); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.TLS.Certificate, t.TLS.Key)
			return &pair, err
		}
	}
	return credentials.NewTLS(config), nil
}
