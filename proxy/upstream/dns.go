package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

const (
	// DefaultResolveInterval is how often DNS is asked again where a target does
	// not say.
	DefaultResolveInterval = 30 * time.Second
	// minResolveInterval is the least time between two questions, however many
	// connections fail meanwhile.
	minResolveInterval = time.Second
	// maxResolvePause is the longest pause after a question without an answer; the
	// first one is minResolveInterval.
	maxResolvePause = 30 * time.Second
	// resolveTime bounds one question.
	resolveTime = 5 * time.Second
	// defaultPort is that of targets without one, as in grpc-go.
	defaultPort = "443"
)

// dnsBuilder makes resolvers for targets of DNS. They exist beside grpc-go's, which
// ask again only after a connection has failed, and not within thirty seconds.
type dnsBuilder struct {
	interval time.Duration
	port     string // of targets without one; "" for defaultPort
}

var _ resolver.Builder = dnsBuilder{}

// DNS returns the builder of resolvers that ask DNS again each interval; 0 means
// DefaultResolveInterval.
func DNS(interval time.Duration) resolver.Builder { return dnsBuilder{interval: interval} }

// Scheme implements resolver.Builder.
func (dnsBuilder) Scheme() string { return "dns" }

// Build implements resolver.Builder. An authority, as in "dns://10.0.0.2/host:port",
// is the server to ask.
func (b dnsBuilder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	host, port, err := splitTarget(target.Endpoint(), cmp.Or(b.port, defaultPort))
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return fixed{}, conn.UpdateState(stateOf([]string{host}, port))
	}
	system, err := resolverAt(target.URL.Host)
	if err != nil {
		return nil, err
	}
	d := &dnsResolver{conn: conn, interval: b.interval, ask: func(ctx context.Context) (resolver.State, error) {
		hosts, err := system.LookupHost(ctx, host)
		return stateOf(hosts, port), err
	}}
	d.start()
	return d, nil
}

// resolverAt returns what asks the DNS server at an address; "" for the system's.
func resolverAt(server string) (*net.Resolver, error) {
	if server == "" {
		return new(net.Resolver), nil
	}
	host, port, err := splitTarget(server, "53")
	if err != nil {
		return nil, err
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
	}}, nil
}

// splitTarget splits "host:port"; the port may be missing, and the host of ":port"
// is this machine.
func splitTarget(target, port string) (string, string, error) {
	if target == "" {
		return "", "", errors.New("missing address; expected host:port")
	}
	if _, err := netip.ParseAddr(target); err == nil {
		return target, port, nil
	}
	host, own, err := net.SplitHostPort(target)
	if err != nil {
		if host, own, err = net.SplitHostPort(target + ":" + port); err != nil {
			return "", "", fmt.Errorf("%q is no host:port: %w", target, err)
		}
	}
	if own == "" {
		return "", "", fmt.Errorf("%q ends with a colon; expected a port behind it", target)
	}
	if host == "" {
		host = "localhost"
	}
	return host, own, nil
}

// stateOf is what grpc-go's resolvers say: one endpoint for each address.
func stateOf(hosts []string, port string) resolver.State {
	var state resolver.State
	for _, host := range hosts {
		address := resolver.Address{Addr: net.JoinHostPort(host, port)}
		state.Addresses = append(state.Addresses, address)
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{address}})
	}
	return state
}

// fixed is the resolver of an address that does not change.
type fixed struct{}

var _ resolver.Resolver = fixed{}

// ResolveNow implements resolver.Resolver.
func (fixed) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (fixed) Close() {}

// dnsResolver asks for the addresses of a name: at once, again at each interval,
// and soon after a connection has failed.
type dnsResolver struct {
	conn     resolver.ClientConn
	ask      func(ctx context.Context) (resolver.State, error)
	interval time.Duration

	now    chan struct{} // somebody wants to know now
	cancel context.CancelFunc
	work   sync.WaitGroup
}

var _ resolver.Resolver = (*dnsResolver)(nil)

func (d *dnsResolver) start() {
	if d.interval <= 0 {
		d.interval = DefaultResolveInterval
	}
	d.now = make(chan struct{}, 1)
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(context.Background())
	d.work.Go(func() { d.run(ctx) })
}

// ResolveNow implements resolver.Resolver.
func (d *dnsResolver) ResolveNow(resolver.ResolveNowOptions) {
	select {
	case d.now <- struct{}{}:
	default:
	}
}

// Close implements resolver.Resolver.
func (d *dnsResolver) Close() {
	d.cancel()
	d.work.Wait()
}

func (d *dnsResolver) run(ctx context.Context) {
	for pause := minResolveInterval; ; {
		select {
		case <-d.now: // this is the answer to it
		default:
		}
		asked := time.Now()
		err := d.resolve(ctx)
		wait := d.interval
		if err != nil {
			wait = min(pause, d.interval)
			pause = min(2*pause, maxResolvePause)
		} else {
			pause = minResolveInterval
		}
		if !d.rest(ctx, asked, scattered(wait)) {
			return
		}
	}
}

// resolve asks once and reports the answer.
func (d *dnsResolver) resolve(ctx context.Context) error {
	timely, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	state, err := d.ask(timely)
	var failed *net.DNSError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failed) && failed.IsNotFound:
		err = fmt.Errorf("%w: %w", errNoAddress, err)
	case err == nil:
		return d.conn.UpdateState(state)
	}
	d.conn.ReportError(err)
	return err
}

// rest waits so long, or until somebody wants to know, but at least
// minResolveInterval after the last question. It reports false where ctx has ended.
func (d *dnsResolver) rest(ctx context.Context, asked time.Time, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-d.now:
	}
	timer.Reset(min(wait, max(0, minResolveInterval-time.Since(asked))))
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// scattered is the time, longer or shorter by up to a fifth, so that gateways do
// not act all at once.
func scattered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // no secret
}
