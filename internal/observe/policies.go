package observe

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// PolicyState is what policies have decided since the start, and how full their memories are.
type PolicyState struct {
	Decisions []PolicyDecisions `json:"decisions"`
	// Cache and Keys are the memories of kept answers and of idempotency keys; nil while there are none.
	Cache *PolicyMemory `json:"cache,omitempty"`
	Keys  *PolicyMemory `json:"keys,omitempty"`
}

// PolicyDecisions are how often a policy has decided what, of all methods and routes.
type PolicyDecisions struct {
	Policy string            `json:"policy"`
	Counts map[string]uint64 `json:"counts"`
}

// PolicyMemory is how much of a memory is used, in bytes, by how many entries.
type PolicyMemory struct {
	Bytes   int64 `json:"bytes"`
	Max     int64 `json:"max"`
	Entries int   `json:"entries"`
	// Evicted is how many entries were dropped for want of room.
	Evicted uint64 `json:"evicted,omitempty"`
}

// Policies reads the counters. Calls pay nothing for it.
func (m *Metrics) Policies() PolicyState {
	state := PolicyState{Decisions: m.decided()}
	if usage := m.answers.Load(); usage != nil {
		if u, ok := (*usage)(); ok {
			state.Cache = &PolicyMemory{Bytes: u.Bytes, Max: u.Max, Entries: u.Entries, Evicted: u.Evicted}
		}
	}
	if usage := m.keys.Load(); usage != nil {
		if u, ok := (*usage)(); ok {
			state.Keys = &PolicyMemory{Bytes: u.Bytes, Max: u.Max, Entries: u.Keys}
		}
	}
	return state
}

// decided sums decisions up over methods.
func (m *Metrics) decided() []PolicyDecisions {
	counters := make(chan prometheus.Metric, 100)
	go func() {
		m.decisions.Collect(counters)
		close(counters)
	}()
	sums := map[string]map[string]uint64{}
	for c := range counters {
		var d dto.Metric
		if c.Write(&d) != nil {
			continue // client_golang's counters can be written
		}
		var policy, result string
		for _, l := range d.GetLabel() {
			switch l.GetName() {
			case "policy":
				policy = l.GetValue()
			case "result":
				result = l.GetValue()
			}
		}
		if sums[policy] == nil {
			sums[policy] = map[string]uint64{}
		}
		sums[policy][result] += uint64(d.GetCounter().GetValue())
	}
	list := []PolicyDecisions{}
	for policy, counts := range sums {
		list = append(list, PolicyDecisions{policy, counts})
	}
	slices.SortFunc(list, func(a, b PolicyDecisions) int { return cmp.Compare(a.Policy, b.Policy) })
	return list
}
