package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// eventMetrics count what becomes of events.
type eventMetrics struct {
	counters map[string]*prometheus.CounterVec // by what
	dropped  *prometheus.CounterVec
	sync     prometheus.Histogram
	clients  *prometheus.CounterVec
}

func newEventMetrics(registry prometheus.Registerer) eventMetrics {
	m := eventMetrics{counters: map[string]*prometheus.CounterVec{}}
	for what, help := range map[string]string{
		"published": "Events that were published, for each sink that is to get them.",
		"sent":      "Events that a sink has acknowledged.",
		"lost":      "Events that could not be written although what they tell of had happened.",
		"rejected":  "Events that a sink has refused for good; they are put aside.",
		"retried":   "Events that were sent to a sink once more.",
	} {
		m.counters[what] = prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "transom_events_" + what + "_total", Help: help,
		}, []string{"sink", "topic"})
		registry.MustRegister(m.counters[what])
	}
	m.dropped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_events_dropped_total", Help: "Events that were dropped, and why: queue_full, log_full or shutdown.",
	}, []string{"sink", "topic", "reason"})
	m.sync = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "transom_events_log_sync_seconds", Help: "Time that the disk took to sync the events log.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	})
	m.clients = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_behaviour_events_total", Help: "Events that pages and apps have sent: accepted, rejected, dropped or corrected, and why.",
	}, []string{"result", "reason"})
	registry.MustRegister(m.dropped, m.sync, m.clients)
	return m
}

// Event counts events of a topic for a sink; what is "published", "sent", "lost", "rejected"
// or "retried".
func (m *Metrics) Event(what, sink, topic string, n int) {
	if c := m.events.counters[what]; c != nil {
		c.WithLabelValues(valid(sink), valid(topic)).Add(float64(n))
	}
}

// Dropped counts events that a sink will not get, and why, which is a word of the gateway's own.
func (m *Metrics) Dropped(sink, topic, reason string, n int) {
	m.events.dropped.WithLabelValues(valid(sink), valid(topic), reason).Add(float64(n))
}

// Behaviour counts events of pages and apps: a result and why, which are words of the gateway's own.
func (m *Metrics) Behaviour(result, reason string, n int) {
	m.events.clients.WithLabelValues(result, reason).Add(float64(n))
}

// Synced counts a sync of the events log.
func (m *Metrics) Synced(took time.Duration) { m.events.sync.Observe(took.Seconds()) }

// EventLog are the figures of the embedded log of events.
type EventLog struct {
	Bytes   int64
	Records uint64
	Oldest  time.Time // zero if that is not known
	// Dropped are records that were removed, or not taken, before every sink had them, and Damaged those
	// that were lost to damage.
	Dropped, Damaged uint64
}

// EventSink is how a sink of events is.
type EventSink struct {
	Name        string
	Queue       int
	Lag         uint64
	Up          bool
	LastSuccess time.Time // zero for never
	Trimmed     uint64
}

// EventStatus is how the bus of events is.
type EventStatus struct {
	Sinks []EventSink
	Log   *EventLog // nil where there is none
	// Streams are nil where nobody may listen.
	Streams *EventStreams
}

// SetEvents says where to ask how the bus of events is; it reports false where there is
// none. It is asked at each scrape, possibly several at once.
func (m *Metrics) SetEvents(status func() (s EventStatus, ok bool)) { m.eventStatus.Store(&status) }

var (
	bySink       = []string{"sink"}
	eventsQueue  = prometheus.NewDesc("transom_events_queue_length", "Events that wait best effort for a sink.", bySink, nil)
	eventsLag    = prometheus.NewDesc("transom_events_sink_lag_records", "Records of the events log that a sink has not acknowledged.", bySink, nil)
	eventsUp     = prometheus.NewDesc("transom_events_sink_up", "1 while a sink takes events, 0 while it does not.", bySink, nil)
	eventsLast   = prometheus.NewDesc("transom_events_sink_last_success_timestamp_seconds", "When a sink acknowledged an event last.", bySink, nil)
	eventsTrim   = prometheus.NewDesc("transom_events_trimmed_total", "Events that went to a sink without some of their attributes, as headers are bounded.", bySink, nil)
	eventsBytes  = prometheus.NewDesc("transom_events_log_bytes", "What the events log takes on disk.", nil, nil)
	eventsCount  = prometheus.NewDesc("transom_events_log_records", "Records in the events log.", nil, nil)
	eventsLost   = prometheus.NewDesc("transom_events_log_dropped_total", "Records that the events log has removed, or not taken, before every sink had them: it was full, or they were too old.", nil, nil)
	eventsDamage = prometheus.NewDesc("transom_events_log_damaged_total", "Records of the events log that were lost to damage.", nil, nil)
	eventsOldest = prometheus.NewDesc("transom_events_log_oldest_seconds", "Age of the oldest segment of the events log.", nil, nil)
)

// eventsCollector asks for the bus of events only when somebody looks.
type eventsCollector struct{ metrics *Metrics }

var _ prometheus.Collector = eventsCollector{}

// Describe implements prometheus.Collector.
func (eventsCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range append(streamDescs(), eventsQueue, eventsLag, eventsUp, eventsLast, eventsTrim, eventsBytes, eventsCount, eventsLost, eventsDamage, eventsOldest) {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c eventsCollector) Collect(to chan<- prometheus.Metric) {
	ask := c.metrics.eventStatus.Load()
	if ask == nil {
		return
	}
	status, ok := (*ask)()
	if !ok {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range status.Sinks {
		name, up := valid(s.Name), 0.0
		if s.Up {
			up = 1
		}
		gauge(eventsQueue, float64(s.Queue), name)
		gauge(eventsLag, float64(s.Lag), name)
		gauge(eventsUp, up, name)
		to <- prometheus.MustNewConstMetric(eventsTrim, prometheus.CounterValue, float64(s.Trimmed), name)
		if !s.LastSuccess.IsZero() {
			gauge(eventsLast, float64(s.LastSuccess.UnixMilli())/1000, name)
		}
	}
	if l := status.Log; l != nil {
		gauge(eventsBytes, float64(l.Bytes))
		gauge(eventsCount, float64(l.Records))
		to <- prometheus.MustNewConstMetric(eventsLost, prometheus.CounterValue, float64(l.Dropped))
		to <- prometheus.MustNewConstMetric(eventsDamage, prometheus.CounterValue, float64(l.Damaged))
		if !l.Oldest.IsZero() {
			gauge(eventsOldest, time.Since(l.Oldest).Seconds())
		}
	}
	if status.Streams != nil {
		status.Streams.collect(to)
	}
}
