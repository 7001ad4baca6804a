package observe

// storeAway is what policies report where a shared store did not answer.
const storeAway = "unavailable_store"

// Decision implements policy.Observer. What a policy decided is counted with
// the call; here only that it had to decide without its store, and what is no decision
// on a call.
func (m *Metrics) Decision(policy, rpc, result string) {
	if result == storeAway || counted[[2]string{policy, result}] {
		m.decisions.WithLabelValues(valid(policy), valid(rpc), result).Inc()
	}
}

// counted are the results of policies that let calls pass, answer them themselves, or make
// others beside them.
var counted = func() map[[2]string]bool {
	all := map[[2]string]bool{}
	for policy, results := range map[string][]string{
		"mirror":          {"answered", "failed", "too_many", "too_large", "incomplete"},
		"idempotency_key": {"kept", "released", "unknown", "replayed", "passed"},
		"cache":           {"hit", "miss", "collapsed", "stale", "revalidated", "bypass", "queue_full"},
	} {
		for _, result := range results {
			all[[2]string{policy, result}] = true
		}
	}
	return all
}()
