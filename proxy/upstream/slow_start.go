package upstream

import "time"

const (
	// fullRamp is that of an endpoint that has its whole share of the calls.
	fullRamp = 1 << 16
	// leastShare is the part of its share that an endpoint begins with.
	leastShare = 0.1
	// slowSteps is in how many steps the share grows, each of at least minSlowStep.
	slowSteps   = 100
	minSlowStep = 100 * time.Millisecond
)

// age notes since when the endpoint can be used. One that is connected anew at the first
// attempt has not gone away. The mu of the Conn is held.
func (e *Endpoint) age(now time.Time) {
	switch {
	case e.bars == 0 && e.connected():
		if e.since.IsZero() {
			e.since = now
		}
	case e.bars != 0 || e.why() != nil:
		e.since = time.Time{}
	}
}

// weigh gives the endpoints the weights that calls are spread by, and reports whether
// they are others than before. An endpoint that can be used since a short time has less
// than its share, but no less than the others for their age (Traffic 168). c.mu is held.
func (c *Conn) weigh(endpoints []*Endpoint) (changed bool) {
	slow, now := c.target.SlowStart, time.Now()
	parts, most := make([]float64, len(endpoints)), 0.0
	for i, e := range endpoints {
		parts[i] = grown(now.Sub(e.since), slow)
		most = max(most, parts[i])
	}
	young := false
	for i, e := range endpoints {
		young = young || parts[i] < 1
		ramp := uint32(parts[i] / most * fullRamp)
		w := max(1, e.share.Weight)
		if slow > 0 && c.target.LoadBalancing != byHash { // which has keys refused instead
			w = max(1, w*ramp)
		}
		changed = e.weight.Swap(w) != w || changed
		e.ramp.Store(ramp)
	}
	if young && c.growing == nil && c.ctx.Err() == nil {
		c.growing = time.AfterFunc(max(minSlowStep, slow/slowSteps), c.grow)
	}
	return changed
}

// grown is the part of its share that an endpoint of an age has.
func grown(age, slow time.Duration) float64 {
	if slow <= 0 || age >= slow {
		return 1
	}
	return leastShare + (1-leastShare)*max(0, age.Seconds())/slow.Seconds()
}

// grow weighs the endpoints again.
func (c *Conn) grow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.growing = nil
	if now := c.choice.Load(); c.weigh(now.endpoints) {
		c.choose(now.endpoints, now.trials...)
	}
}

// welcomes reports whether the endpoint takes calls of the key: a part of the keys, the
// same ones each time, only once its share has grown.
func (e *Endpoint) welcomes(k CallKey) bool {
	ramp := e.ramp.Load()
	return ramp == fullRamp || uint32(mix(uint64(k)^e.id)>>48) < ramp
}
