package observe

// storeAway is what policies report where a shared store did not answer.
const storeAway = "unavailable_store"

// Decision implements policy.Observer. What a policy decided is counted with
// the call; here only that it had to decide without its store, and what is no decision
// on a call.
func (m *Metrics) Decision(policy, rpc, result string) {
	if result == storeAway || counted(policy, result) {
		m.decisions.WithLabelValues(valid(policy), valid(rpc), result).Inc()
	}
}

// counted reports whether a result is one of a policy that lets calls pass, answers them itself, or
// makes others beside them.
func counted(policy, result string) bool {
	switch policy {
	case "cache":
		switch result {
		case "hit", "miss", "collapsed", "stale", "revalidated", "bypass", "queue_full":
			return true
		}
	case "idempotency_key":
		switch result {
		case "kept", "released", "unknown", "replayed", "passed":
			return true
		}
	case "mirror":
		switch result {
		case "answered", "failed", "too_many", "too_large", "incomplete":
			return true
		}
	}
	return false
}
