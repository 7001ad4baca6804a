package observe

import (
	"iter"

	"github.com/prometheus/client_golang/prometheus"
)

// Circuit is what metrics say of the circuit breaker between a method and its backend.
type Circuit struct {
	Upstream, RPC string
	// State is 0 for closed, 1 for half open, 2 for open.
	State int
}

// SetCircuits says where to find the circuit breakers. It is asked at each scrape,
// possibly several at once. Pairs of upstream and RPC must be unique.
func (m *Metrics) SetCircuits(all iter.Seq[Circuit]) { m.circuits.Store(&all) }

var circuitState = prometheus.NewDesc("transom_circuit_state",
	"What a circuit breaker does with calls: 0 lets them pass, 1 lets probes pass, 2 stops them.", []string{"upstream", "rpc"}, nil)

// circuitCollector asks for states only when somebody looks.
type circuitCollector struct{ metrics *Metrics }

var _ prometheus.Collector = circuitCollector{}

// Describe implements prometheus.Collector.
func (circuitCollector) Describe(to chan<- *prometheus.Desc) { to <- circuitState }

// Collect implements prometheus.Collector.
func (c circuitCollector) Collect(to chan<- prometheus.Metric) {
	all := c.metrics.circuits.Load()
	if all == nil {
		return
	}
	for circuit := range *all {
		to <- prometheus.MustNewConstMetric(circuitState, prometheus.GaugeValue, float64(circuit.State), valid(circuit.Upstream), valid(circuit.RPC))
	}
}
