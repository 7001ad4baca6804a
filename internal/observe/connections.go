package observe

import (
	"iter"

	"github.com/prometheus/client_golang/prometheus"
)

// Listener is what metrics say of the connections of one listener.
type Listener struct {
	// Address is where it listens.
	Address string
	// Open is how many connections there are.
	Open int64
	// Refused is how many were closed, as their client had too many.
	Refused int64
	// Reset is how many ended, as their client took back most of its requests.
	Reset int64
}

// SetListeners says where to find the listeners. It is asked at each scrape, possibly
// several at once. Addresses must be unique.
func (m *Metrics) SetListeners(all iter.Seq[Listener]) { m.listeners.Store(&all) }

var (
	connectionsOpen = prometheus.NewDesc("transom_connections",
		"Connections of clients.", []string{"listener"}, nil)
	connectionsRefused = prometheus.NewDesc("transom_connections_refused_total",
		"Connections that were closed, as their client had max_connections_per_client.", []string{"listener"}, nil)
	connectionsReset = prometheus.NewDesc("transom_connections_reset_total",
		"Connections of HTTP/2 that ended, as their client took back most of its requests, more than max_resets in a second.", []string{"listener"}, nil)
)

// listenerCollector asks for connections only when somebody looks.
type listenerCollector struct{ metrics *Metrics }

var _ prometheus.Collector = listenerCollector{}

// Describe implements prometheus.Collector.
func (listenerCollector) Describe(to chan<- *prometheus.Desc) {
	to <- connectionsOpen
	to <- connectionsRefused
	to <- connectionsReset
}

// Collect implements prometheus.Collector.
func (c listenerCollector) Collect(to chan<- prometheus.Metric) {
	all := c.metrics.listeners.Load()
	if all == nil {
		return
	}
	for l := range *all {
		address := valid(l.Address)
		to <- prometheus.MustNewConstMetric(connectionsOpen, prometheus.GaugeValue, float64(l.Open), address)
		to <- prometheus.MustNewConstMetric(connectionsRefused, prometheus.CounterValue, float64(l.Refused), address)
		to <- prometheus.MustNewConstMetric(connectionsReset, prometheus.CounterValue, float64(l.Reset), address)
	}
}
