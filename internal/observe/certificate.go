package observe

import (
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificate is what metrics say of a certificate of the gateway's own.
type Certificate struct {
	// Name is whom it is for.
	Name string
	// Ends is when it expires.
	Ends time.Time
}

// SetCertificates says where to find the certificates. It is asked at each scrape, possibly
// several at once. Of several of a name the first is taken.
func (m *Metrics) SetCertificates(all iter.Seq[Certificate]) { m.certificates.Store(&all) }

var certificateExpiry = prometheus.NewDesc("transom_certificate_expiry_seconds",
	"The time until a certificate of a listener expires; below zero where it has.", []string{"name"}, nil)

// certificateCollector asks for certificates only when somebody looks.
type certificateCollector struct{ metrics *Metrics }

var _ prometheus.Collector = certificateCollector{}

// Describe implements prometheus.Collector.
func (certificateCollector) Describe(to chan<- *prometheus.Desc) { to <- certificateExpiry }

// Collect implements prometheus.Collector.
func (c certificateCollector) Collect(to chan<- prometheus.Metric) {
	all := c.metrics.certificates.Load()
	if all == nil {
		return
	}
	seen := map[string]bool{}
	for one := range *all {
		name := valid(one.Name)
		if seen[name] {
			continue // a second one would spoil the whole scrape
		}
		seen[name] = true
		to <- prometheus.MustNewConstMetric(certificateExpiry, prometheus.GaugeValue, time.Until(one.Ends).Seconds(), name)
	}
}
