package observe

import (
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// subscriptionMetrics count what subscriptions do.
type subscriptionMetrics struct {
	attempts, dead, skipped, done *prometheus.CounterVec
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
	case "skipped":
		m.subscriptions.skipped.WithLabelValues(valid(subscription)).Inc()
	}
}
