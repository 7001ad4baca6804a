package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/transom-gateway/transom/internal/s3fifo"
)

// SetAnswers says where to ask how full the memory of kept answers is; it reports false
// while no answers are kept. It is asked at each scrape, possibly several at once.
func (m *Metrics) SetAnswers(usage func() (u s3fifo.Usage, ok bool)) { m.answers.Store(&usage) }

var (
	cacheBytes = prometheus.NewDesc("transom_cache_bytes",
		"Memory that kept answers take.", nil, nil)
	cacheMaxBytes = prometheus.NewDesc("transom_cache_max_bytes",
		"Memory that kept answers may take: cache.max_bytes.", nil, nil)
	cacheOutside = prometheus.NewDesc("transom_cache_outside_bytes",
		"Memory, of cache.max_bytes, of answers that are on their way or were dropped while clients read them.", nil, nil)
	cacheEntries = prometheus.NewDesc("transom_cache_entries",
		"Answers that are kept, with what is known of answers that are not.", nil, nil)
	cacheEvictions = prometheus.NewDesc("transom_cache_evictions_total",
		"Answers that were dropped for want of memory.", nil, nil)
)

// answersCollector asks for the memory of answers only when somebody looks.
type answersCollector struct{ metrics *Metrics }

var _ prometheus.Collector = answersCollector{}

// Describe implements prometheus.Collector.
func (answersCollector) Describe(to chan<- *prometheus.Desc) {
	to <- cacheBytes
	to <- cacheMaxBytes
	to <- cacheOutside
	to <- cacheEntries
	to <- cacheEvictions
}

// Collect implements prometheus.Collector.
func (c answersCollector) Collect(to chan<- prometheus.Metric) {
	usage := c.metrics.answers.Load()
	if usage == nil {
		return
	}
	u, ok := (*usage)()
	if !ok {
		return
	}
	to <- prometheus.MustNewConstMetric(cacheBytes, prometheus.GaugeValue, float64(u.Bytes))
	to <- prometheus.MustNewConstMetric(cacheMaxBytes, prometheus.GaugeValue, float64(u.Max))
	to <- prometheus.MustNewConstMetric(cacheOutside, prometheus.GaugeValue, float64(u.Outside))
	to <- prometheus.MustNewConstMetric(cacheEntries, prometheus.GaugeValue, float64(u.Entries))
	to <- prometheus.MustNewConstMetric(cacheEvictions, prometheus.CounterValue, float64(u.Evicted))
}
