package observe

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// subscriptionMetrics count what subscriptions do.
type subscriptionMetrics struct {
	attempts, dead, dropped, skipped, done *prometheus.CounterVec
}

func newSubscriptionMetrics(registry prometheus.Registerer) subscriptionMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "transom_subscription_" + name + "_total", Help: help}, labels)
		registry.MustRegister(c)
		return c
	}
	return subscriptionMetrics{
		attempts: counter("attempts", "Calls that events of a subscription led to, by the code that they ended with.", "subscription", "code"),
		dead:     counter("dead", "Events that became dead letters.", "subscription"),
		dropped:  counter("dead_dropped", "Dead letters that were dropped, as there were too many.", "subscription"),
		skipped:  counter("skipped", "Events that were skipped, as their calls did not succeed.", "subscription"),
		done:     counter("done", "Events whose call succeeded.", "subscription"),
	}
}

// Attempt implements subscription.Observer.
func (m *Metrics) Attempt(subscription string, code codes.Code) {
	m.subscriptions.attempts.WithLabelValues(valid(subscription), codeName(code)).Inc()
}

// Ended implements subscription.Observer.
func (m *Metrics) Ended(subscription, how string) {
	switch how {
	case "done":
		m.subscriptions.done.WithLabelValues(valid(subscription)).Inc()
	case "dead":
		m.subscriptions.dead.WithLabelValues(valid(subscription)).Inc()
	case "dropped":
		m.subscriptions.dropped.WithLabelValues(valid(subscription)).Inc()
	case "skipped":
		m.subscriptions.skipped.WithLabelValues(valid(subscription)).Inc()
	}
}

// SubscriptionState is how a subscription is.
type SubscriptionState struct {
	Name     string
	InFlight int
	// Dead is how many dead letters are put aside.
	Dead       int
	Paused     bool
	LastCommit time.Time // zero for never
	Lag        []PartitionLag
}

// PartitionLag is what of a partition is not dealt with.
type PartitionLag struct {
	Partition int32
	Records   int64
	Oldest    time.Time // zero where that is not known
}

// SetSubscriptions says where to ask how subscriptions are. It is asked at each scrape, possibly
// several at once.
func (m *Metrics) SetSubscriptions(status func(context.Context) []SubscriptionState) {
	m.subscriptionStates.Store(&status)
}

var (
	bySubscription       = []string{"subscription"}
	byPartition          = []string{"subscription", "partition"}
	subscriptionInFlight = prometheus.NewDesc("transom_subscription_inflight", "Events of a subscription that are not dealt with and held in memory.", bySubscription, nil)
	subscriptionDead     = prometheus.NewDesc("transom_subscription_dead_letters", "Dead letters of a subscription that are put aside.", bySubscription, nil)
	subscriptionPaused   = prometheus.NewDesc("transom_subscription_paused", "1 while a subscription is paused, or an event waits until it is resumed.", bySubscription, nil)
	subscriptionCommit   = prometheus.NewDesc("transom_subscription_last_commit_timestamp_seconds", "When a subscription last got further.", bySubscription, nil)
	subscriptionLag      = prometheus.NewDesc("transom_subscription_lag_records", "Records that a subscription has not dealt with.", byPartition, nil)
	subscriptionAge      = prometheus.NewDesc("transom_subscription_lag_seconds", "Age of the oldest event that a subscription has not dealt with.", byPartition, nil)
)

// scrapeTime is how long brokers may take to say how far subscriptions are.
const scrapeTime = 2 * time.Second

// subscriptionsCollector asks for subscriptions only when somebody looks.
type subscriptionsCollector struct{ metrics *Metrics }

var _ prometheus.Collector = subscriptionsCollector{}

// Describe implements prometheus.Collector.
func (subscriptionsCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{subscriptionInFlight, subscriptionDead, subscriptionPaused, subscriptionCommit, subscriptionLag, subscriptionAge} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c subscriptionsCollector) Collect(to chan<- prometheus.Metric) {
	ask := c.metrics.subscriptionStates.Load()
	if ask == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	for _, s := range (*ask)(ctx) {
		name, paused := valid(s.Name), 0.0
		if s.Paused {
			paused = 1
		}
		gauge(subscriptionInFlight, float64(s.InFlight), name)
		gauge(subscriptionDead, float64(s.Dead), name)
		gauge(subscriptionPaused, paused, name)
		if !s.LastCommit.IsZero() {
			gauge(subscriptionCommit, float64(s.LastCommit.UnixMilli())/1000, name)
		}
		for _, l := range s.Lag {
			partition, age := strconv.Itoa(int(l.Partition)), 0.0
			if !l.Oldest.IsZero() {
				age = max(time.Since(l.Oldest).Seconds(), 0)
			}
			gauge(subscriptionLag, float64(l.Records), name, partition)
			gauge(subscriptionAge, age, name, partition)
		}
	}
}
