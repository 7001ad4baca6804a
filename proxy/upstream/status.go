package upstream

import (
	"cmp"
	"slices"
	"time"

	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// The states of an endpoint. Those beside READY and DRAINING are such that it gets no
// calls, as a rule: see EndpointStatus.Used.
const (
	EndpointReady      = "READY"
	EndpointConnecting = "CONNECTING"
	EndpointFailing    = "TRANSIENT_FAILURE" // it cannot be reached
	EndpointUnchecked  = "UNCHECKED"         // no check has succeeded yet
	EndpointUnhealthy  = "UNHEALTHY"
	EndpointEjected    = "EJECTED"
	EndpointTakenOut   = "TAKEN_OUT" // by an operator
	EndpointStandby    = "STANDBY"   // those of a smaller priority number take the calls
	EndpointDraining   = "DRAINING"  // it finishes the calls that it has
)

// EndpointStatus is how one endpoint is (Traffic 181).
type EndpointStatus struct {
	// Addresses lead to it, each of them.
	Addresses []string
	Share
	// State is one of the words above, Why the reason for it, Since when it holds.
	State, Why string
	Since      time.Time
	// Used is set where it gets calls: also where its state is against it, and that of all
	// others too.
	Used bool
	// Connections that take calls, and calls and streams under way.
	Connections int
	InFlight    int64
	// Checks are the last reports of its health, by the service that was asked for.
	Checks map[string]health.Report
	// Checked is how many checks there were, and Failed how many of them did not say that
	// it is well.
	Checked, Failed uint64
	History
}

// History is what became of an endpoint's calls.
type History struct {
	// Calls that have ended, and those of them whose end was the endpoint's fault.
	Calls, Faults uint64
	// Ejections is how often it was ejected.
	Ejections uint64
	// Latency is a moving average of its calls' times; 0: none has ended.
	Latency time.Duration
}

// Endpoints lists the endpoints, those that drain included, by their addresses.
func (c *Conn) Endpoints() []EndpointStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := map[*Endpoint]bool{}
	for _, e := range c.choice.Load().endpoints {
		used[e] = true
	}
	all := slices.Concat(c.endpoints, c.vanished)
	known := map[*Endpoint]bool{}
	for _, e := range all {
		known[e] = true
	}
	c.draining = slices.DeleteFunc(c.draining, func(e *Endpoint) bool { return e.Active() == 0 })
	for _, e := range c.draining {
		e.mark(EndpointDraining, time.Now())
	}
	all = append(all, c.draining...)
	for _, l := range c.open {
		if !known[l.endpoint] {
			known[l.endpoint] = true
			l.endpoint.mark(EndpointDraining, time.Now())
			all = append(all, l.endpoint)
		}
	}
	list := make([]EndpointStatus, 0, len(all))
	for _, e := range all {
		list = append(list, e.status(used[e]))
	}
	slices.SortFunc(list, func(a, b EndpointStatus) int {
		return cmp.Or(slices.Compare(a.Addresses, b.Addresses), a.Since.Compare(b.Since))
	})
	return list
}

// status is what there is to say. The mu of the Conn is held.
func (e *Endpoint) status(used bool) EndpointStatus {
	s := EndpointStatus{
		Addresses: slices.Clone(e.addresses), Share: e.share, State: e.state, Since: e.marked, Used: used,
		Connections: len(*e.ready.Load()), InFlight: e.Active(),
		Checked: e.checkedTimes, Failed: e.failedTimes, History: e.history(),
	}
	r := e.recorded()
	s.Calls, s.Faults, s.Ejections, s.Latency = r.Calls, r.Faults, r.Ejections, r.Latency
	s.Why = e.reason()
	for service, state := range e.checks {
		if !state.Asked {
			continue
		}
		if s.Checks == nil {
			s.Checks = map[string]health.Report{}
		}
		s.Checks[service] = state.Last
	}
	return s
}

// reason says why the state is what it is, and of READY what is wrong all the same; "" for
// nothing. The mu of the Conn is held.
func (e *Endpoint) reason() string {
	switch e.state {
	case EndpointFailing:
		if err := e.why(); err != nil {
			return withTLSAdvice(err).Error()
		}
	case EndpointUnchecked:
		return "no check has succeeded yet"
	case EndpointUnhealthy:
		for _, s := range e.checks {
			if !s.Well && s.Last.Why != "" {
				return s.Last.Why
			}
		}
		return "its checks failed"
	case EndpointReady:
		return e.record.troubled()
	case EndpointEjected:
		if trouble := e.record.troubled(); trouble != "" {
			return "too many of its calls failed; " + trouble
		}
		return "too many of its calls failed"
	case EndpointTakenOut:
		return "an operator has taken it out"
	case EndpointStandby:
		return "endpoints of a smaller priority number take the calls"
	case EndpointDraining:
		if e.share.Weight == 0 {
			return "its weight is 0"
		}
		return "its address is not given any more"
	}
	return ""
}

// markAll notes in which state each endpoint is, and since when. c.mu is held.
func (c *Conn) markAll(now time.Time) {
	least := uint64(levelBarred)
	for _, e := range c.endpoints {
		if e.connected() {
			least = min(least, e.level())
		}
	}
	for _, e := range c.endpoints {
		e.mark(e.stateNow(least), now)
	}
	for _, e := range c.vanished {
		e.mark(EndpointDraining, now)
	}
}

func (e *Endpoint) mark(state string, now time.Time) {
	if e.state != state {
		e.state, e.marked = state, now
	}
}

// stateNow is the state of an endpoint that a resolver gives, where endpoints of the
// level least take the calls. The mu of the Conn is held.
func (e *Endpoint) stateNow(least uint64) string {
	switch {
	case e.bars&barOperator != 0:
		return EndpointTakenOut
	case !e.connected() && e.why() != nil:
		return EndpointFailing
	case !e.connected():
		return EndpointConnecting
	case e.bars&barEjected != 0:
		return EndpointEjected
	case e.bars&barUnhealthy != 0 && !e.answered():
		return EndpointUnchecked
	case e.bars&barUnhealthy != 0:
		return EndpointUnhealthy
	case e.level() == least:
		return EndpointReady
	case e.share.Weight == 0:
		return EndpointDraining
	}
	return EndpointStandby
}

// answered reports whether there was an answer to a check. The mu of the Conn is held.
func (e *Endpoint) answered() bool {
	for _, s := range e.checks {
		if s.Asked {
			return true
		}
	}
	return false
}

// history is what became of its calls. The mu of the Conn is held.
func (e *Endpoint) history() History {
	r := e.recorded()
	return History{Calls: r.Calls, Faults: r.Faults, Ejections: r.Ejections, Latency: r.Latency}
}
