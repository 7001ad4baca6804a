package observe

import (
	"context"
	"iter"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/transom-gateway/transom/internal/keptkey"
	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/internal/s3fifo"
)

// Buckets of the histograms: half a millisecond to a minute, in seconds, and 64
// bytes to 64 MB by steps of four.
var (
	durationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	sizeBuckets     = prometheus.ExponentialBuckets(64, 4, 11)
)

// Metrics holds the gateway's counters in a registry of their own. All methods
// are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests      *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	inFlight      *prometheus.GaugeVec
	requestBytes  *prometheus.HistogramVec
	responseBytes *prometheus.HistogramVec
	messages      *prometheus.CounterVec
	decisions     *prometheus.CounterVec
	retries       *prometheus.CounterVec
	retriesDenied *prometheus.CounterVec
	hedges        *prometheus.CounterVec
	branches      *prometheus.CounterVec
	branchTime    *prometheus.HistogramVec
	branchMoved   *prometheus.CounterVec

	reload    reloadMetrics
	upstreams atomic.Pointer[iter.Seq2[string, Upstream]]
	circuits  atomic.Pointer[iter.Seq[Circuit]]
	listeners atomic.Pointer[iter.Seq[Listener]]
	overload  atomic.Pointer[overload.Guard]
	// certificates are those of the listeners.
	certificates atomic.Pointer[iter.Seq[Certificate]]
	answers      atomic.Pointer[func() (s3fifo.Usage, bool)]
	keys         atomic.Pointer[func() (keptkey.Usage, bool)]

	subscriptions      subscriptionMetrics
	events             eventMetrics
	subscriptionStates atomic.Pointer[func(context.Context) []SubscriptionState]
	eventStatus        atomic.Pointer[func() (EventStatus, bool)]

	mu     sync.Mutex
	routes map[routeKey]*RouteMetrics // guarded by mu
}

// NewMetrics makes the counters, among them those of the Go runtime and the
// process.
func NewMetrics(version string) *Metrics {
	byRoute := []string{"rpc", "route", "protocol"}
	byCode := slices.Concat(byRoute, []string{"code"})
	m := &Metrics{registry: prometheus.NewRegistry(), routes: map[routeKey]*RouteMetrics{}}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_requests_total", Help: "Calls that ended, by gRPC code.",
	}, byCode)
	m.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "transom_request_duration_seconds", Help: "Time from the arrival of a call's headers to its end.", Buckets: durationBuckets,
	}, byCode)
	m.inFlight = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "transom_requests_in_flight", Help: "Calls under way.",
	}, byRoute)
	m.requestBytes = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "transom_request_size_bytes", Help: "Bytes of a call's messages to the backend, in protobuf wire format.", Buckets: sizeBuckets,
	}, byRoute)
	m.responseBytes = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "transom_response_size_bytes", Help: "Bytes of a call's messages from the backend, in protobuf wire format.", Buckets: sizeBuckets,
	}, byRoute)
	m.messages = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_stream_messages_total", Help: "Messages of streams that ended, by direction: up to the backend, down to the client.",
	}, slices.Concat(byRoute, []string{"direction"}))
	m.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_policy_decisions_total", Help: "Decisions of policies: admitted or refused.",
	}, []string{"policy", "rpc", "result"})
	m.retries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_retries_total", Help: "Attempts of calls beyond their first.",
	}, []string{"rpc"})
	m.retriesDenied = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_retries_denied_total", Help: "Calls that were not tried once more, by reason.",
	}, []string{"rpc", "reason"})
	m.hedges = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_hedges_total", Help: "Attempts of calls that were made beside another one.",
	}, []string{"rpc"})
	m.branches, m.branchTime, m.branchMoved = newBranchMetrics()
	m.reload = newReloadMetrics(m.registry)
	m.events = newEventMetrics(m.registry)
	m.subscriptions = newSubscriptionMetrics(m.registry)

	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "transom_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": valid(version), "go": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.inFlight, m.requestBytes, m.responseBytes, m.messages, m.decisions, m.retries, m.retriesDenied, m.hedges,
		m.branches, m.branchTime, m.branchMoved,
		upstreamCollector{m}, circuitCollector{m}, listenerCollector{m}, overloadCollector{m}, certificateCollector{m}, answersCollector{m}, keysCollector{m}, eventsCollector{m}, subscriptionsCollector{m}, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry is where other packages register collectors of their own.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
