package observe

import (
	"iter"

	"github.com/prometheus/client_golang/prometheus"
)

// Upstream is what metrics say of the connections to one backend.
type Upstream struct {
	// State is one of gRPC's state names (IDLE, CONNECTING, READY, TRANSIENT_FAILURE,
	// SHUTDOWN) or any other word.
	State string
	// Waiting is how many calls wait because the connections have all the streams that
	// the backend allows; Served and Refused how many have waited and then were sent, and
	// how many in vain.
	Waiting         int
	Served, Refused uint64
	// Endpoints are its servers, by their names, of which some may be there twice.
	Endpoints []Endpoint
	// Panics is set while too few endpoints are well.
	Panics bool
}

// SetUpstreams says where to find the upstreams, by name. It is asked at each scrape,
// possibly several at once. Names must be unique.
func (m *Metrics) SetUpstreams(all iter.Seq2[string, Upstream]) { m.upstreams.Store(&all) }

var upstreamState = prometheus.NewDesc("transom_upstream_state",
	"1 for the state that an upstream's connections are in.", []string{"upstream", "state"}, nil)

var (
	upstreamWaiting = prometheus.NewDesc("transom_upstream_calls_waiting",
		"Calls that wait because the connections have all the streams that the backend allows.", []string{"upstream"}, nil)
	upstreamWaited = prometheus.NewDesc("transom_upstream_calls_waited_total",
		"Calls that had to wait for a stream, by what became of it: served or refused.", []string{"upstream", "result"}, nil)
	upstreamPanic = prometheus.NewDesc("transom_upstream_panic",
		"1 while too few endpoints are well, so that all are used, or none.", []string{"upstream"}, nil)
)

// upstreamCollector asks for states only when somebody looks.
type upstreamCollector struct{ metrics *Metrics }

var _ prometheus.Collector = upstreamCollector{}

// Describe implements prometheus.Collector.
func (upstreamCollector) Describe(to chan<- *prometheus.Desc) {
	to <- upstreamState
	to <- upstreamWaiting
	to <- upstreamWaited
	to <- upstreamPanic
	describeEndpoints(to)
}

// Collect implements prometheus.Collector.
func (c upstreamCollector) Collect(to chan<- prometheus.Metric) {
	all := c.metrics.upstreams.Load()
	if all == nil {
		return
	}
	for name, u := range *all {
		name = valid(name)
		to <- prometheus.MustNewConstMetric(upstreamState, prometheus.GaugeValue, 1, name, valid(u.State))
		to <- prometheus.MustNewConstMetric(upstreamWaiting, prometheus.GaugeValue, float64(u.Waiting), name)
		to <- prometheus.MustNewConstMetric(upstreamWaited, prometheus.CounterValue, float64(u.Served), name, "served")
		to <- prometheus.MustNewConstMetric(upstreamWaited, prometheus.CounterValue, float64(u.Refused), name, "refused")
		panics := 0.0
		if u.Panics {
			panics = 1
		}
		to <- prometheus.MustNewConstMetric(upstreamPanic, prometheus.GaugeValue, panics, name)
		collectEndpoints(to, name, u.Endpoints)
	}
}
