package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxEndpoints bounds the endpoints of one upstream that have series of their own: the
// first ones by name. transom_upstream_endpoints counts all.
const maxEndpoints = 100

// Endpoint is what metrics say of one server of an upstream.
type Endpoint struct {
	// Name is its address.
	Name string
	// State is one word of a small set, such as READY.
	State string
	// InFlight is how many calls and streams are under way.
	InFlight int64
	// Checked counts the checks of its health, CheckFailed those that were not good.
	Checked, CheckFailed uint64
	// Calls counts those that have ended, Faults those whose end was the endpoint's fault.
	Calls, Faults uint64
	// Ejections is how often it was taken out because of its calls.
	Ejections uint64
	// Latency is a moving average of its calls' times; 0: there is none.
	Latency time.Duration
}

var (
	upstreamEndpoints = prometheus.NewDesc("transom_upstream_endpoints",
		"Endpoints of an upstream, by state.", []string{"upstream", "state"}, nil)
	endpointState = prometheus.NewDesc("transom_endpoint_state",
		"1 for the state that an endpoint is in.", []string{"upstream", "endpoint", "state"}, nil)
	endpointInFlight = prometheus.NewDesc("transom_endpoint_calls_in_flight",
		"Calls and streams under way at an endpoint.", []string{"upstream", "endpoint"}, nil)
	endpointCalls = prometheus.NewDesc("transom_endpoint_calls_total",
		"Attempts at an endpoint that have ended, by whether the end was its fault: answered or fault.", []string{"upstream", "endpoint", "result"}, nil)
	endpointChecks = prometheus.NewDesc("transom_endpoint_checks_total",
		"Answers to checks of an endpoint's health, by what they say: healthy or unhealthy.", []string{"upstream", "endpoint", "result"}, nil)
	endpointEjections = prometheus.NewDesc("transom_endpoint_ejections_total",
		"How often an endpoint was ejected.", []string{"upstream", "endpoint"}, nil)
	endpointLatency = prometheus.NewDesc("transom_endpoint_latency_seconds",
		"Moving average of the times of an endpoint's calls.", []string{"upstream", "endpoint"}, nil)
)

func describeEndpoints(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{upstreamEndpoints, endpointState, endpointInFlight, endpointCalls, endpointChecks, endpointEjections, endpointLatency} {
		to <- d
	}
}

// collectEndpoints tells of the endpoints of one upstream. Of two with one name, such as
// one that drains and one that took its place, the last is told of.
func collectEndpoints(to chan<- prometheus.Metric, upstream string, all []Endpoint) {
	states := map[string]int{}
	byName := map[string]int{}
	var shown []Endpoint
	for _, e := range all {
		states[valid(e.State)]++
		e.Name = valid(e.Name)
		if at, twice := byName[e.Name]; twice {
			shown[at] = e
			continue
		}
		if len(shown) < maxEndpoints {
			byName[e.Name] = len(shown)
			shown = append(shown, e)
		}
	}
	for state, n := range states {
		to <- prometheus.MustNewConstMetric(upstreamEndpoints, prometheus.GaugeValue, float64(n), upstream, state)
	}
	for _, e := range shown {
		e.collect(to, upstream)
	}
}

func (e *Endpoint) collect(to chan<- prometheus.Metric, upstream string) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{upstream, e.Name}, labels...)...)
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), append([]string{upstream, e.Name}, labels...)...)
	}
	gauge(endpointState, 1, valid(e.State))
	gauge(endpointInFlight, float64(e.InFlight))
	counter(endpointCalls, e.Calls-min(e.Calls, e.Faults), "answered")
	counter(endpointCalls, e.Faults, "fault")
	if e.Checked > 0 {
		counter(endpointChecks, e.Checked-min(e.Checked, e.CheckFailed), "healthy")
		counter(endpointChecks, e.CheckFailed, "unhealthy")
	}
	counter(endpointEjections, e.Ejections)
	if e.Latency > 0 {
		gauge(endpointLatency, e.Latency.Seconds())
	}
}
