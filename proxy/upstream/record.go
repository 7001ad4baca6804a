package upstream

import (
	"fmt"
	"slices"
	"time"

	"github.com/transom-gateway/transom/proxy/breaker"
)

// Record is what became of the calls to an endpoint, for people.
type Record struct {
	// Latency is the moving average of the calls' times; 0 where none has been answered.
	Latency time.Duration
	// Calls and Faults count the calls that said something of the endpoint, and those that
	// were its fault; Row is how many faults there were since the last other one.
	Calls, Faults uint64
	Row           uint32
	// Ejections counts how often it was ejected.
	Ejections uint64
	// Ejected is set while it is, and TrialIn is when a call may try it again.
	Ejected bool
	TrialIn time.Duration
	// TakenOut is set while an operator has it taken out.
	TakenOut bool
}

// recorded is the record as people see it. The mu of the Conn is held.
func (e *Endpoint) recorded() Record {
	r := &e.record
	s := Record{
		Latency: time.Duration(r.latency.Load()), Calls: r.calls.Load(), Faults: r.faults.Load(), Row: r.row.Load(), Ejections: r.ejections,
		Ejected: e.bars&barEjected != 0, TakenOut: e.bars&barOperator != 0,
	}
	if s.Ejected {
		s.TrialIn = max(0, time.Duration(r.trial.Load()-breaker.Now()))
	}
	return s
}

// Records are those of the endpoints, by the first address of each.
func (c *Conn) Records() map[string]Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]Record{}
	for _, e := range c.endpoints {
		all[e.addresses[0]] = e.recorded()
	}
	return all
}

// Panics reports whether too few endpoints are well.
func (c *Conn) Panics() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.panics
}

// TakeOut has the endpoint of an address get no calls, or calls again, until told
// otherwise. It is the same endpoint when its address vanishes and comes back.
func (c *Conn) TakeOut(address string, out bool) error {
	c.mu.Lock()
	defer c.report()
	defer c.mu.Unlock()
	found := false
	for _, e := range c.endpoints {
		if !slices.Contains(e.addresses, address) {
			continue
		}
		found = true
		if e.bars &^= barOperator; out {
			e.bars |= barOperator
		}
	}
	if !found && (out || !c.takenOut[address]) {
		return fmt.Errorf("the upstream has no endpoint %s", address)
	}
	delete(c.takenOut, address)
	if out {
		if c.takenOut == nil {
			c.takenOut = map[string]bool{}
		}
		c.takenOut[address] = true
	}
	c.publish()
	return nil
}

// rememberTakenOut takes an endpoint out whose address was before. c.mu is held.
func (c *Conn) rememberTakenOut(e *Endpoint) {
	if slices.ContainsFunc(e.addresses, func(a string) bool { return c.takenOut[a] }) {
		e.bars |= barOperator
	}
}
