package observe

import (
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// storeAway is what policies report where a shared store did not answer.
const storeAway = "unavailable_store"

// results are those of policies that let calls pass, answer them themselves, or make others
// beside them.
var results = map[string][]string{
	"cache":           {"hit", "miss", "collapsed", "stale", "revalidated", "bypass", "queue_full"},
	"idempotency_key": {"kept", "released", "unknown", "replayed", "passed"},
	"mirror":          {"answered", "failed", "too_many", "too_large", "incomplete"},
}

// Decision implements policy.Observer. What a policy decided is counted with
// the call; here only that it had to decide without its store, and what is no decision
// on a call.
func (m *Metrics) Decision(policy, rpc, result string) {
	if result == storeAway || slices.Contains(results[policy], result) {
		m.decisions.WithLabelValues(valid(policy), valid(rpc), result).Inc()
	}
}

// Decisions is Decision of one policy and one RPC, which looks up each counter once.
func (m *Metrics) Decisions(policy, rpc string) func(result string) {
	known := results[policy]
	counters := make([]atomic.Pointer[prometheus.Counter], len(known))
	return func(result string) {
		i := slices.Index(known, result)
		if i < 0 {
			m.Decision(policy, rpc, result)
			return
		}
		c := counters[i].Load()
		if c == nil {
			made := m.decisions.WithLabelValues(valid(policy), valid(rpc), result)
			c = &made
			counters[i].Store(c)
		}
		(*c).Inc()
	}
}
