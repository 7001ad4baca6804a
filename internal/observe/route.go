package observe

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/rpccode"
)

// Unmatched is the route label of requests that no route took. Their paths are
// the client's choice and never become labels.
const Unmatched = "unmatched"

// protocols are the values of the protocol label; the last one stands for all
// that is not known.
var protocols = [...]string{"rest", "sse", "ndjson", "websocket", "grpc", "grpc-web", "connect", "http", "other"}

// protocolIndex compiles to comparisons of length and bytes, not to a search.
func protocolIndex(protocol string) int {
	switch protocol {
	case "rest":
		return 0
	case "sse":
		return 1
	case "ndjson":
		return 2
	case "websocket":
		return 3
	case "grpc":
		return 4
	case "grpc-web":
		return 5
	case "connect":
		return 6
	case "http":
		return 7
	}
	return len(protocols) - 1
}

// numCodes are the codes of gRPC, 0 to 16, and one for all others.
const numCodes = 18

// codeNames are the values of the code label, as gRPC spells them.
var codeNames = append(rpccode.Names(), "OTHER")

func codeIndex(code codes.Code) int { return int(min(code, numCodes-1)) }

// routeKey is what a route's counters are about; they survive a reload.
type routeKey struct{ rpc, route string }

// RouteMetrics are the counters of one route. They are found once, when the
// schema loads; each combination of protocol and code is found once more, at
// its first call. Safe for concurrent use.
type RouteMetrics struct {
	metrics   *Metrics
	key       routeKey
	retired   bool // guarded by metrics.mu
	protocols [len(protocols)]atomic.Pointer[protocolMetrics]
	streams   atomic.Pointer[streamTimes] // nil: none has ended
}

// protocolMetrics are a route's counters for one protocol.
type protocolMetrics struct {
	route         *RouteMetrics
	protocol      string
	inFlight      prometheus.Gauge
	requestBytes  prometheus.Observer
	responseBytes prometheus.Observer
	up, down      prometheus.Counter
	codes         [numCodes]atomic.Pointer[codeMetrics]
}

type codeMetrics struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// Route returns the counters of a route, by the RPC's full name
// ("package.Service/Method", "" for a plain HTTP route) and the route's
// template as the operator wrote it. The same names give the same counters.
func (m *Metrics) Route(rpc, route string) *RouteMetrics {
	key := routeKey{valid(rpc), valid(route)}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.routes[key]
	if r == nil {
		r = &RouteMetrics{metrics: m, key: key}
		m.routes[key] = r
	}
	return r
}

// Unmatched returns the counters of requests that no route took.
func (m *Metrics) Unmatched() *RouteMetrics { return m.Route("", Unmatched) }

// Retain deletes the counters of all routes but these and Unmatched. Calls of
// deleted routes that are still under way are counted nowhere. Decisions of
// policies are kept for the RPCs of these routes.
func (m *Metrics) Retain(keep []*RouteMetrics) {
	kept := map[*RouteMetrics]bool{m.Unmatched(): true}
	for _, r := range keep {
		kept[r] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rpcs, gone := map[string]bool{}, map[string]bool{}
	for key, r := range m.routes {
		if kept[r] {
			rpcs[key.rpc] = true
			continue
		}
		delete(m.routes, key)
		gone[key.rpc] = true
		r.retired = true
		labels := prometheus.Labels{"rpc": key.rpc, "route": key.route}
		for _, v := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
			m.requests, m.duration, m.inFlight, m.requestBytes, m.responseBytes, m.messages,
		} {
			v.DeletePartialMatch(labels)
		}
	}
	for rpc := range gone {
		if !rpcs[rpc] {
			labels := prometheus.Labels{"rpc": rpc}
			m.decisions.DeletePartialMatch(labels)
			m.retries.DeletePartialMatch(labels)
			m.retriesDenied.DeletePartialMatch(labels)
			m.hedges.DeletePartialMatch(labels)
			m.branches.DeletePartialMatch(labels)
			m.branchTime.DeletePartialMatch(labels)
			m.branchMoved.DeletePartialMatch(labels)
		}
	}
}

// protocol returns the counters for one of the client protocols.
func (r *RouteMetrics) protocol(protocol string) *protocolMetrics {
	i := protocolIndex(protocol)
	if p := r.protocols[i].Load(); p != nil {
		return p
	}
	return r.addProtocol(i)
}

func (r *RouteMetrics) addProtocol(i int) *protocolMetrics {
	m := r.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := r.protocols[i].Load(); p != nil {
		return p
	}
	labels := []string{r.key.rpc, r.key.route, protocols[i]}
	p := &protocolMetrics{
		route: r, protocol: protocols[i],
		inFlight:      child(r, m.inFlight, labels),
		requestBytes:  child(r, m.requestBytes, labels),
		responseBytes: child(r, m.responseBytes, labels),
		up:            child(r, m.messages, append(labels[:3:3], "up")),
		down:          child(r, m.messages, append(labels[:3:3], "down")),
	}
	r.protocols[i].Store(p)
	return p
}

// code returns the counters for calls that ended so.
func (p *protocolMetrics) code(code codes.Code) *codeMetrics {
	i := codeIndex(code)
	if c := p.codes[i].Load(); c != nil {
		return c
	}
	m := p.route.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := p.codes[i].Load(); c != nil {
		return c
	}
	labels := []string{p.route.key.rpc, p.route.key.route, p.protocol, codeNames[i]}
	c := &codeMetrics{
		requests: child(p.route, m.requests, labels),
		duration: child(p.route, m.duration, labels),
	}
	p.codes[i].Store(c)
	return c
}

// tried counts the attempts of a call that took more than one, or was denied one.
func (r *RouteMetrics) tried(attempts, hedged int, denied string) {
	if attempts <= 1 && denied == "" {
		return
	}
	m := r.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if attempts > 1 {
		child(r, m.retries, []string{r.key.rpc}).Add(float64(attempts - 1))
	}
	if hedged > 0 {
		child(r, m.hedges, []string{r.key.rpc}).Add(float64(hedged))
	}
	if denied != "" {
		child(r, m.retriesDenied, []string{r.key.rpc, denied}).Inc()
	}
}

// vec is what the vectors of client_golang have in common.
type vec[T any] interface {
	WithLabelValues(values ...string) T
	DeleteLabelValues(values ...string) bool
}

// child resolves one child. That of a retired route is taken out again at once,
// unless a later reload brought the route back: a call that outlives its route
// may count, but nothing stays behind. The caller holds metrics.mu.
func child[T any](r *RouteMetrics, v vec[T], labels []string) T {
	c := v.WithLabelValues(labels...)
	if r.retired && r.metrics.routes[r.key] == nil {
		v.DeleteLabelValues(labels...)
	}
	return c
}

// valid makes a label value that client_golang takes: it panics on anything but
// UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
