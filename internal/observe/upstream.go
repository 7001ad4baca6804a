package observe

import (
	"iter"

	"github.com/prometheus/client_golang/prometheus"
)

// SetUpstreams says where to find the upstreams and their connection states:
// pairs of a name and one of gRPC's state names (IDLE, CONNECTING, READY,
// TRANSIENT_FAILURE, SHUTDOWN) or any other word. It is asked at each scrape,
// possibly several at once. Names must be unique.
func (m *Metrics) SetUpstreams(states iter.Seq2[string, string]) { m.upstreams.Store(&states) }

var upstreamState = prometheus.NewDesc("transom_upstream_state",
	"1 for the state that an upstream's connections are in.", []string{"upstream", "state"}, nil)

// upstreamCollector asks for states only when somebody looks.
type upstreamCollector struct{ metrics *Metrics }

var _ prometheus.Collector = upstreamCollector{}

// Describe implements prometheus.Collector.
func (upstreamCollector) Describe(to chan<- *prometheus.Desc) { to <- upstreamState }

// Collect implements prometheus.Collector.
func (c upstreamCollector) Collect(to chan<- prometheus.Metric) {
	states := c.metrics.upstreams.Load()
	if states == nil {
		return
	}
	for name, state := range *states {
		to <- prometheus.MustNewConstMetric(upstreamState, prometheus.GaugeValue, 1, valid(name), valid(state))
	}
}
