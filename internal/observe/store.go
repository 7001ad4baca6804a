package observe

// storeAway is what policies report where a shared store did not answer.
const storeAway = "unavailable_store"

// Decision implements policy.Observer. What a policy decided is counted with
// the call; here only that it had to decide without its store.
func (m *Metrics) Decision(policy, rpc, result string) {
	if result == storeAway || policy == mirrors { // of a mirror nothing else is counted
		m.decisions.WithLabelValues(valid(policy), valid(rpc), result).Inc()
	}
}

// mirrors is the policy whose results are of copies that no call waits for.
const mirrors = "mirror"
