package observe

import (
	"iter"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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

	reloads        *prometheus.CounterVec
	reloadWorked   prometheus.Gauge
	reloadSuccess  prometheus.Gauge
	reloadDuration prometheus.Gauge
	upstreams      atomic.Pointer[iter.Seq2[string, string]]

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
	m.newReloadMetrics()

	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "transom_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": valid(version), "go": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.inFlight, m.requestBytes, m.responseBytes, m.messages, m.decisions,
		m.reloads, m.reloadWorked, m.reloadSuccess, m.reloadDuration, upstreamCollector{m}, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) newReloadMetrics() {
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_reloads_total", Help: "Reloads, the first load among them, by result.",
	}, []string{"result"})
	m.reloads.WithLabelValues("success")
	m.reloads.WithLabelValues("failure")
	m.reloadWorked = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "transom_reload_last_successful", Help: "1 if the last reload worked, 0 if it failed and the one before is in service.",
	})
	m.reloadSuccess = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "transom_reload_last_success_timestamp_seconds", Help: "When the last reload that worked ended, in seconds since 1970.",
	})
	m.reloadDuration = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "transom_reload_last_duration_seconds", Help: "How long the last reload took, whether it worked or not.",
	})
}

// Registry is where other packages register collectors of their own.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// ReloadSucceeded counts a reload that began at the given time and ended now.
func (m *Metrics) ReloadSucceeded(began time.Time) {
	m.reloads.WithLabelValues("success").Inc()
	m.reloadWorked.Set(1)
	m.reloadSuccess.SetToCurrentTime()
	m.reloadDuration.Set(time.Since(began).Seconds())
}

// ReloadFailed counts a reload that began at the given time and failed now.
func (m *Metrics) ReloadFailed(began time.Time) {
	m.reloads.WithLabelValues("failure").Inc()
	m.reloadWorked.Set(0)
	m.reloadDuration.Set(time.Since(began).Seconds())
}
