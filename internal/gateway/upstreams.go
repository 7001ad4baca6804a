package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/observe"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// defaultMaxResponse bounds one message of a backend, in bytes.
const defaultMaxResponse = 16 << 20

// upstreams finds the backend of a service.
type upstreams []namedUpstream

// namedUpstream is one backend and which services live there.
type namedUpstream struct {
	name     string
	services []string
	conn     connection // nil: there is none
	placing  *placing   // nil: calls can be made at any endpoint
}

// connect opens the configuration's upstreams. Connections that are as they
// were are shared with the snapshot before.
func (b *builder) connect() {
	all := b.file.Config.GetUpstreams()
	homes := config.Homes(b.file.Config)
	for name, u := range all {
		grpc := u.GetGrpc()
		if grpc == nil {
			b.connectHTTP(name, u.GetHttp())
			continue
		}
		conn, err := b.gateway.pool.get(grpc.GetClient(), target(grpc, b.file.Directory))
		if err != nil {
			at := append([]any{"upstreams", name, "grpc"}, ofUpstream(err)...)
			b.refuse(fmt.Sprintf("upstreams.%s: %v", name, err), at...)
			continue
		}
		b.snapshot.conns[name] = conn
		b.idleSettings(name, "grpc", grpc)
		services := u.GetServices()
		if len(services) == 0 && len(homes) == 1 && homes[name] {
			services = []string{"*"}
		}
		b.upstreams = append(b.upstreams, namedUpstream{name: name, services: services, conn: conn, placing: newPlacing(grpc)})
	}
	slices.SortFunc(b.upstreams, func(a, c namedUpstream) int { return strings.Compare(a.name, c.name) })
}

// ofUpstream is the part of an upstream that an error of connecting it is about.
func ofUpstream(err error) []any {
	text := err.Error()
	switch {
	case errors.Is(err, upstream.ErrTarget):
		return []any{"target"}
	case strings.HasPrefix(text, "ca: "):
		return []any{"tls", "ca"}
	case strings.HasPrefix(text, "certificate "): // and its key
		return []any{"tls", "certificate"}
	}
	return nil
}

func target(u *transomv1.GrpcUpstream, directory string) upstream.Target {
	t := upstream.Target{
		Address:          u.GetTarget(),
		Authority:        u.GetAuthority(),
		Connections:      int(u.GetConnections()),
		LoadBalancing:    config.BalancingPolicy(u),
		MaxConnections:   int(u.GetMaxConnections()),
		MaxConnectionAge: u.GetMaxConnectionAge().AsDuration(),
		SlowStart:        u.GetBalancing().GetSlowStart().AsDuration(),
		Sticky:           u.GetBalancing().GetSticky() != nil,
		StickySecret:     u.GetBalancing().GetSticky().GetSecret(),
		Keepalive:        u.GetKeepalive().AsDuration(),

		ResolveInterval: u.GetResolveInterval().AsDuration(),
	}
	t.Health = healthCheck(u.GetHealthCheck())
	t.Outlier = outlier(u.GetOutlier())
	t.MinHealthyPercent, t.FailClosed = u.GetMinHealthyPercent(), u.GetFail() == transomv1.GrpcUpstream_CLOSED
	t.TLS = clientTLS(u.GetTls(), directory)
	return t
}

// clientTLS is how servers are checked; nil for cleartext.
func clientTLS(c *transomv1.ClientTls, directory string) *upstream.TLS {
	if c == nil {
		return nil
	}
	file := func(path string) string {
		if path == "" {
			return ""
		}
		return inDirectory(directory, path)
	}
	return &upstream.TLS{
		CA: file(c.GetCa()), Certificate: file(c.GetCertificate()), Key: file(c.GetKey()),
		ServerName: c.GetServerName(), InsecureSkipVerify: c.GetInsecureSkipVerify(),
	}
}

// idleable is what upstreams of both kinds may say.
type idleable interface {
	GetTarget() string
	GetResolveInterval() *durationpb.Duration
	GetHealthCheck() *transomv1.HealthCheck
}

// idleSettings warns of settings of an upstream that do nothing beside its others. kind is
// that of the upstream, as the configuration names it.
func (b *builder) idleSettings(name, kind string, u idleable) {
	scheme, _, _ := strings.Cut(u.GetTarget(), ":")
	idle := func(setting, why string) {
		path := []any{"upstreams", name, kind}
		for part := range strings.SplitSeq(setting, ".") {
			path = append(path, part)
		}
		b.warn(fmt.Sprintf("upstreams.%s.%s.%s: has no effect %s; remove it", name, kind, setting, why), path...)
	}
	if u.GetResolveInterval() != nil && slices.Contains([]string{"file", "k8s", "unix"}, scheme) {
		idle("resolve_interval", "with a target "+scheme+":, which is not asked again on a timer")
	}
	if u.GetResolveInterval() != nil && u.GetTarget() == "" {
		idle("resolve_interval", "without a target: the names of servers are resolved for each connection")
	}
	if u.GetHealthCheck().GetPort() != 0 && scheme == "unix" {
		idle("health_check.port", "with a unix socket, which has none")
	}
	if u, ok := u.(*transomv1.GrpcUpstream); ok && u.GetHealthCheck() != nil && u.GetLoadBalancingPolicy() == "pick_first" {
		idle("health_check", "with pick_first, which leaves an address only when its connection ends")
	}
}

// healthCheck is how the servers are asked how they are; nil: they are not.
func healthCheck(h *transomv1.HealthCheck) *health.Check {
	if h == nil {
		return nil
	}
	var headers []string
	for _, name := range slices.Sorted(maps.Keys(h.GetHeaders())) {
		headers = append(headers, name+": "+h.GetHeaders()[name])
	}
	c := health.Check{
		Path: h.GetPath(), Host: h.GetHost(), Headers: strings.Join(headers, "\n"), Expect: h.GetExpect(), Port: uint16(h.GetPort()),
		Service: h.GetService(), PerService: h.GetPerService(),
		Interval: h.GetInterval().AsDuration(), Timeout: h.GetTimeout().AsDuration(), Up: int(h.GetUp()), Down: int(h.GetDown()),
	}.WithDefaults()
	return &c
}

// servicesOf lists the services that are called over each connection, which several
// upstreams may share.
func (b *builder) servicesOf() map[connection][]string {
	all := map[connection][]string{}
	for name := range b.services {
		if u, err := b.upstreams.of(string(name)); err == nil && u.conn != nil {
			all[u.conn] = append(all[u.conn], string(name))
		}
	}
	return all
}

// outlier is when endpoints are ejected (Traffic 108); the zero Outlier for never.
func outlier(o *transomv1.Outlier) upstream.Outlier {
	if o == nil {
		return upstream.Outlier{}
	}
	return upstream.Outlier{
		Consecutive:        cmp.Or(o.GetConsecutive(), 5),
		FailurePercent:     cmp.Or(o.GetFailurePercent(), 50),
		MinCalls:           cmp.Or(o.GetMinCalls(), 20),
		Interval:           cmp.Or(o.GetInterval().AsDuration(), 10*time.Second),
		BaseEjection:       cmp.Or(o.GetBaseEjection().AsDuration(), 30*time.Second),
		MaxEjectionPercent: cmp.Or(o.GetMaxEjectionPercent(), 50),
	}
}

// of returns the upstream whose pattern names the service most exactly.
func (u upstreams) of(service string) (namedUpstream, error) {
	best, length := namedUpstream{}, -1
	for _, candidate := range u {
		for _, pattern := range candidate.services {
			if n := matchService(pattern, service); n > length {
				best, length = candidate, n
			}
		}
	}
	if length < 0 && len(u) > 0 {
		names := make([]string, len(u))
		for i := range u {
			names[i] = u[i].name
		}
		return best, fmt.Errorf("no upstream serves %s; name it in the services of one of: %s", service, strings.Join(names, ", "))
	}
	return best, nil
}

// idlePatterns warns of services of upstreams that there are none of. It is no
// error: a pattern may be there before its service is.
func (b *builder) idlePatterns() {
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range b.services {
			if !yield(string(name)) {
				return
			}
		}
	})
	b.idleOffers(names)
	for _, u := range b.upstreams {
		for i, pattern := range b.file.Config.GetUpstreams()[u.name].GetServices() {
			matches := func(service string) bool { return matchService(pattern, service) >= 0 }
			if pattern == "*" || slices.ContainsFunc(names, matches) {
				continue
			}
			message := fmt.Sprintf("upstreams.%s: there is no service %s", u.name, pattern)
			if near := nearest.Of(names, strings.TrimSuffix(pattern, ".*")); near != "" {
				message += fmt.Sprintf("; did you mean %s?", near)
			}
			b.warn(message, "upstreams", u.name, "services", i)
		}
	}
}

// matchService returns how many characters of a pattern name the service, -1
// for none.
func matchService(pattern, service string) int {
	if pattern == "*" {
		return 0
	}
	if prefix, ok := strings.CutSuffix(pattern, ".*"); ok {
		if strings.HasPrefix(service, prefix+".") {
			return len(prefix)
		}
		return -1
	}
	if pattern == service {
		return len(pattern) + 1
	}
	return -1
}

// find returns the upstream of a name.
func (u upstreams) find(name string) (namedUpstream, bool) {
	i := slices.IndexFunc(u, func(candidate namedUpstream) bool { return candidate.name == name })
	if i < 0 {
		return namedUpstream{}, false
	}
	return u[i], true
}

// named returns the backend of the upstream of a name; nil for none. Its calls are made at
// any endpoint.
func (u upstreams) named(name string) proxy.Backend {
	for _, candidate := range u {
		if candidate.name == name {
			return candidate.backend(0, nil)
		}
	}
	return nil
}

func (u namedUpstream) backend(maxResponse uint64, place *placing) proxy.Backend {
	if u.conn == nil {
		return noUpstream{}
	}
	if maxResponse == 0 {
		maxResponse = defaultMaxResponse
	}
	backend := u.conn.Backend(int(min(maxResponse, math.MaxInt32)))
	if g, ok := backend.(*attempt.GRPC); ok && place != nil {
		return g.Placing(place.place)
	}
	return backend
}

// noUpstream answers for methods of a gateway without any upstream, as `check`
// and `routes` build it.
type noUpstream struct{}

var _ proxy.Backend = noUpstream{}

var errNoUpstream = status.Error(codes.Unavailable, "no upstream is configured for this service")

func (noUpstream) Call(_ context.Context, _ string, _ proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	request.Free()
	return proxy.Reply{}, errNoUpstream
}

func (noUpstream) Open(context.Context, string, proxy.Metadata, proxy.Shape) (proxy.Stream, error) {
	return nil, errNoUpstream
}

// UpstreamStatus is a backend as the admin listener shows it.
type UpstreamStatus struct {
	Name, Target string
	observe.Upstream
	// Failure is why the state is TRANSIENT_FAILURE.
	Failure string
	// NotReloaded is why the files of its TLS are not in effect as they are now.
	NotReloaded string
	// ListNotReloaded is why the file of its addresses is not in effect as it is now.
	ListNotReloaded string
	// Servers are its endpoints.
	Servers []upstream.EndpointStatus
}

// Upstreams lists the backends, by name.
func (g *Gateway) Upstreams() []UpstreamStatus {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	var list []UpstreamStatus
	for name, conn := range s.conns {
		u := UpstreamStatus{Name: name, Target: conn.Target().Name()}
		u.State = conn.State().String()
		u.Waiting, u.Served, u.Refused = conn.Waiting()
		if own, ok := conn.(interface{ Panics() bool }); ok {
			u.Panics = own.Panics()
		}
		if err := conn.Failure(); err != nil {
			u.Failure = err.Error()
		}
		u.NotReloaded, u.ListNotReloaded = conn.NotReloaded(), conn.ListNotReloaded()
		u.Servers = conn.Endpoints()
		u.Endpoints = observed(u.Servers)
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b UpstreamStatus) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// observed is what metrics say of the endpoints.
func observed(all []upstream.EndpointStatus) (list []observe.Endpoint) {
	for _, e := range all {
		list = append(list, observe.Endpoint{
			Name: e.Addresses[0], State: e.State, InFlight: e.InFlight, Checked: e.Checked, CheckFailed: e.Failed,
			Calls: e.Calls, Faults: e.Faults, Ejections: e.Ejections, Latency: e.Latency,
		})
	}
	return list
}

// defaultIdle is how long a stream may be silent where no policy says.
const defaultIdle = 5 * time.Minute
