// Package grpcgo makes calls of an upstream by grpc-go's own client, with its
// balancers, instead of proxy/transport and proxy/upstream. Settings, limits and what a
// client is told of an error are the same; memory is not bounded by what the reader of
// an answer has taken (proxy.WithRoom), and calls above the server's limit of streams
// wait without a bound of their own.
//
//	conn, err := grpcgo.NewPool(log).Get(upstream.Target{Address: "books:9000"})
//	result := proxy.Relay(ctx, &proxy.Call{Backend: conn.Backend(16 << 20), …})
package grpcgo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	_ "google.golang.org/grpc/balancer/leastrequest" // least_request_experimental
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

const (
	// dialTime bounds one attempt at one address, its handshakes included.
	dialTime = 5 * time.Second
	// maxHeaderList bounds the metadata of one header block of the server, in bytes.
	maxHeaderList = 1 << 20
	// maxHeaderBlock is where grpc-go ends the connection for it, with all its calls.
	maxHeaderBlock = 4 * maxHeaderList
)

// Conn is a backend's connections, as grpc-go keeps them.
type Conn struct {
	target  upstream.Target
	log     *slog.Logger
	tls     *upstream.Security // nil for cleartext
	client  *grpc.ClientConn
	failure atomic.Pointer[error] // of the last attempt; nil: none has failed since the last success
	watched chan struct{}         // closed when watch has returned
	pool    *Pool
}

var _ attempt.Connection = (*Conn)(nil)

func newConn(t upstream.Target, p *Pool) (*Conn, error) {
	policy, err := balancer(t)
	if err != nil {
		return nil, err
	}
	c := &Conn{target: t, pool: p, log: p.log, watched: make(chan struct{})}
	if c.tls, err = upstream.NewSecurity(t.TLS); err != nil {
		return nil, err
	}
	c.client, err = grpc.NewClient(t.Address, c.options(policy)...)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", t.Address, err)
	}
	c.client.Connect()
	go c.watch()
	return c, nil
}

// options are the settings of the target in grpc-go's terms.
func (c *Conn) options(policy string) []grpc.DialOption {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(c.credentials()),
		grpc.WithContextDialer(c.dial),
		grpc.WithResolvers(names{upstream.DNS(c.target.ResolveInterval), c}),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"` + policy + `":{}}]}`),
		grpc.WithDisableRetry(), // but of calls that the server has not seen
		grpc.WithIdleTimeout(0),
		grpc.WithStatsHandler(observer{}),
		grpc.WithUserAgent("transom"),
		grpc.WithMaxHeaderListSize(maxHeaderBlock),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: dialTime,
		}),
		experimental.WithBufferPool(proxy.Buffers),
	}
	switch t := c.target; {
	case t.Authority != "":
		options = append(options, grpc.WithAuthority(t.Authority))
	case t.TLS != nil && t.TLS.ServerName != "":
		options = append(options, grpc.WithAuthority(t.TLS.ServerName))
	}
	if quiet := c.target.Keepalive; quiet > 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: quiet, Timeout: 10 * time.Second}))
	}
	return options
}

// balancer is grpc-go's name of the target's policy of load balancing.
func balancer(t upstream.Target) (string, error) {
	switch {
	case t.Address == "":
		return "", errors.New("the target is empty; expected host:port, dns:///host:port or unix:/path")
	case t.Connections > 1:
		return "", fmt.Errorf("the client GRPC_GO keeps one connection to each address; found connections: %d", t.Connections)
	}
	switch t.LoadBalancing {
	case "", "least_request":
		return "least_request_experimental", nil
	case "round_robin":
		return roundrobin.Name, nil
	case "pick_first":
		return grpc.PickFirstBalancerName, nil
	}
	return "", fmt.Errorf("the client GRPC_GO has no load balancing policy %q; expected least_request, round_robin or pick_first", t.LoadBalancing)
}

// watch keeps the backend connected, without calls too, and tells the log when it
// cannot be reached, once for each reason, and when it is again.
func (c *Conn) watch() {
	defer close(c.watched)
	told := ""
	for state := c.client.GetState(); state != connectivity.Shutdown; state = c.client.GetState() {
		switch err := c.Failure(); {
		case state == connectivity.Idle:
			c.client.Connect()
		case state == connectivity.Ready && told != "":
			told = ""
			c.log.Info("the backend is reached again", "target", c.target.Address)
		case err != nil && upstream.Reason(err) != told:
			told = upstream.Reason(err)
			c.log.Warn("the backend cannot be reached", "target", c.target.Address, "error", err.Error())
		}
		c.client.WaitForStateChange(context.Background(), state) // Release ends it
	}
}

// Backend makes calls on the connection. maxMessage bounds one message of the backend
// in bytes, before it is read.
func (c *Conn) Backend(maxMessage int) proxy.Backend { return &backend{c, maxMessage} }

// Target returns what the connection leads to.
func (c *Conn) Target() upstream.Target { return c.target }

// State implements attempt.Connection.
func (c *Conn) State() connectivity.State { return c.client.GetState() }

// StateChanged implements attempt.Connection.
func (c *Conn) StateChanged(ctx context.Context) bool {
	return c.client.WaitForStateChange(ctx, c.client.GetState())
}

// Failure is why the backend cannot be reached, for the operator: it may hold
// addresses. It is nil where the state is not TRANSIENT_FAILURE.
func (c *Conn) Failure() error {
	if c.State() != connectivity.TransientFailure {
		return nil
	}
	err := c.why()
	if advice := upstream.TLSAdvice(err); advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	return err
}

// why is why the last attempt failed. grpc-go says nothing of what follows the
// handshakes.
func (c *Conn) why() error {
	if err := c.failure.Load(); err != nil {
		return *err
	}
	return transport.ErrPreface
}

// Advice implements attempt.Connection.
func (c *Conn) Advice() string {
	if c.State() != connectivity.TransientFailure {
		return ""
	}
	return upstream.TLSAdvice(c.why())
}

// NotReloaded says why the files of the connection's TLS are not in effect as they are
// now; "" where all is well.
func (c *Conn) NotReloaded() string { return c.tls.NotReloaded() }

// Endpoints is empty: grpc-go does not tell.
func (*Conn) Endpoints() []upstream.EndpointStatus { return nil }

// CheckServices does nothing: this client asks no server how it is.
func (*Conn) CheckServices([]string) {}

// ListNotReloaded is about files of addresses, which this client does not read.
func (*Conn) ListNotReloaded() string { return "" }

// Waiting is not known of grpc-go's client.
func (*Conn) Waiting() (now int, served, refused uint64) { return 0, 0, 0 }
