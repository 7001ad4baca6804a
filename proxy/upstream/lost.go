package upstream

import (
	"time"

	"github.com/transom-gateway/transom/proxy/breaker"
)

// Silent is what it says of the endpoint of the last attempt that the time of the call
// ended with no answer: a fault, unless the attempt had less time than the endpoint's
// calls take, as what is left after others may be.
func (t *Turn) Silent() Verdict {
	if t.last == nil || t.took() < t.last.record.latency.Load() {
		return NoVerdict
	}
	return Faulty
}

// SilentFor is Silent of an attempt that had at least so much time.
func (t *Turn) SilentFor(d time.Duration) Verdict {
	if t.last == nil || t.took() < int64(d) {
		return NoVerdict
	}
	return t.Silent()
}

// took is for how long the last attempt has been under way.
func (t *Turn) took() int64 { return breaker.Now() - t.began }

// Ejects reports whether endpoints are ejected.
func (c *Conn) Ejects() bool { return c.target.Outlier != (Outlier{}) }

// Heed reports whether an attempt that has lost a race is to run on, so that a server that
// hangs is told from one that is slow: the endpoint has answered nothing since the attempt
// was made, and no other attempt runs on there. Whoever had true calls Unheed. The attempt
// may be under way.
func (t *Turn) Heed() bool {
	t.party.mu.Lock()
	defer t.party.mu.Unlock()
	return t.last != nil && t.last.record.answered.Load() <= t.noted && t.last.record.heeded.CompareAndSwap(false, true)
}

// Unheed lets another attempt run on.
func (t *Turn) Unheed() { t.last.record.heeded.Store(false) }

// JudgeLost takes down what the end of an attempt says that has lost a race: with
// NoVerdict, that it would have taken longer than it did.
func (c *Conn) JudgeLost(t *Turn, v Verdict) {
	if t.last != nil && v == NoVerdict {
		t.last.record.tookMore(t.took())
	}
	c.Judge(t, v)
}

// tookMore has the average hear of a call that took at least so long.
func (r *record) tookMore(d int64) {
	if d > r.latency.Load() {
		r.took(d)
	}
}
