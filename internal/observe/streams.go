package observe

import (
	"github.com/prometheus/client_golang/prometheus"
)

// EventStreams are the figures of those who listen to topics.
type EventStreams struct {
	Clients       int
	Sent, Encoded uint64
	// Slow is how often a client was behind what is in memory, by what became of it, and Reset how
	// often one could not go on where it was, by reasons.
	Slow, Reset map[string]uint64
}

var (
	streamsClients = prometheus.NewDesc("transom_event_streams", "Clients who listen to topics.", nil, nil)
	streamsSent    = prometheus.NewDesc("transom_event_streams_sent_total", "Events that clients who listen were given.", nil, nil)
	streamsEncoded = prometheus.NewDesc("transom_event_streams_encoded_total", "Events that were encoded for those who listen.", nil, nil)
	streamsSlow    = prometheus.NewDesc("transom_event_streams_slow_total", "Times that a client had not read an event when it was in memory no more.", []string{"how"}, nil)
	streamsReset   = prometheus.NewDesc("transom_event_streams_reset_total", "Times that a client could not go on where it asked to.", []string{"reason"}, nil)
)

// streamDescs lists them.
func streamDescs() []*prometheus.Desc {
	return []*prometheus.Desc{streamsClients, streamsSent, streamsEncoded, streamsSlow, streamsReset}
}

// collect writes the figures.
func (s *EventStreams) collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(streamsClients, prometheus.GaugeValue, float64(s.Clients))
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	count(streamsSent, s.Sent)
	count(streamsEncoded, s.Encoded)
	for how, n := range s.Slow {
		count(streamsSlow, n, how)
	}
	for reason, n := range s.Reset {
		count(streamsReset, n, reason)
	}
}
