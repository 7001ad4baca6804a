package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/transom-gateway/transom/internal/overload"
)

// SetOverload says who knows how short memory is.
func (m *Metrics) SetOverload(g *overload.Guard) { m.overload.Store(g) }

var (
	overloadStage = prometheus.NewDesc("transom_overload_stage",
		"What is done without as memory is short: 0 nothing, 1 what need not be kept, 2 connections and streams too, 3 all calls.", nil, nil)
	overloadEntered = prometheus.NewDesc("transom_overload_entered_total",
		"How often a stage of overload began.", []string{"stage"}, nil)
)

// overloadCollector asks only when somebody looks.
type overloadCollector struct{ metrics *Metrics }

var _ prometheus.Collector = overloadCollector{}

// Describe implements prometheus.Collector.
func (overloadCollector) Describe(to chan<- *prometheus.Desc) {
	to <- overloadStage
	to <- overloadEntered
}

// Collect implements prometheus.Collector.
func (c overloadCollector) Collect(to chan<- prometheus.Metric) {
	guard := c.metrics.overload.Load()
	to <- prometheus.MustNewConstMetric(overloadStage, prometheus.GaugeValue, float64(guard.Stage()))
	for stage := overload.Save; stage <= overload.Refuse; stage++ {
		to <- prometheus.MustNewConstMetric(overloadEntered, prometheus.CounterValue, float64(guard.Entered(stage)), stage.String())
	}
}
