package observe

// storeAway is what policies report where a shared store did not answer.
const storeAway = "unavailable_store"

// Decision implements policy.Observer. What a policy decided is counted with
// the call; here only that it had to decide without its store.
func (m *Metrics) Decision(policy, rpc, result string) {
	if result == storeAway || policy == mirrors || policy == idempotencyKeys && keyResults[result] { // of these nothing else is counted
		m.decisions.WithLabelValues(valid(policy), valid(rpc), result).Inc()
	}
}

// mirrors is the policy whose results are of copies that no call waits for.
const mirrors = "mirror"

// idempotencyKeys is the policy whose calls are refused, and counted as such, or end in one of
// keyResults.
const idempotencyKeys = "idempotency_key"

var keyResults = map[string]bool{"kept": true, "released": true, "unknown": true, "replayed": true, "passed": true}
