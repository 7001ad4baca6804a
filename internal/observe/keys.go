package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/transom-gateway/transom/internal/keptkey"
)

// SetKeys says where to ask how full the memory of idempotency keys is; it reports false while none
// are kept in memory. It is asked at each scrape, possibly several at once.
func (m *Metrics) SetKeys(usage func() (u keptkey.Usage, ok bool)) { m.keys.Store(&usage) }

var (
	keysBytes = prometheus.NewDesc("transom_idempotency_bytes",
		"Memory that idempotency keys and their answers take.", nil, nil)
	keysMaxBytes = prometheus.NewDesc("transom_idempotency_max_bytes",
		"Memory that they may take: idempotency.max_bytes. A tenth of it is one caller's.", nil, nil)
	keysKept = prometheus.NewDesc("transom_idempotency_keys",
		"Idempotency keys that are kept in memory.", nil, nil)
)

// keysCollector asks for the memory of keys only when somebody looks.
type keysCollector struct{ metrics *Metrics }

var _ prometheus.Collector = keysCollector{}

// Describe implements prometheus.Collector.
func (keysCollector) Describe(to chan<- *prometheus.Desc) {
	to <- keysBytes
	to <- keysMaxBytes
	to <- keysKept
}

// Collect implements prometheus.Collector.
func (c keysCollector) Collect(to chan<- prometheus.Metric) {
	usage := c.metrics.keys.Load()
	if usage == nil {
		return
	}
	u, ok := (*usage)()
	if !ok {
		return
	}
	to <- prometheus.MustNewConstMetric(keysBytes, prometheus.GaugeValue, float64(u.Bytes))
	to <- prometheus.MustNewConstMetric(keysMaxBytes, prometheus.GaugeValue, float64(u.Max))
	to <- prometheus.MustNewConstMetric(keysKept, prometheus.GaugeValue, float64(u.Keys))
}
