package ratelimit

import "time"

// rate is a token bucket in the form of the generic cell rate algorithm: a
// bucket is one number, the theoretical arrival time (tat) at which it will be
// full again, and needs no timer.
type rate struct {
	// interval is the time between two calls at the steady rate.
	interval time.Duration
	// window is burst × interval: how far the tat may run ahead of the clock.
	window time.Duration
}

// verdict is a limit's answer to one call.
type verdict struct {
	// known is false where the limit was not asked, or its store is away.
	known bool
	// refused tells that the bucket was empty; nothing was taken then.
	refused bool
	// remaining is how many calls would be admitted at once from now.
	remaining int64
	// wait is how long until the next call is admitted; 0 unless refused.
	wait time.Duration
	// reset is how long until the bucket is full.
	reset time.Duration
}

// take asks for one token at the time now, in nanoseconds since any fixed
// moment. It returns the bucket's new tat, which is the old one where it
// refuses.
func (r rate) take(tat, now int64) (int64, verdict) {
	tat = max(tat, now)
	next := tat + int64(r.interval)
	wait := next - int64(r.window) - now
	if wait > 0 {
		return tat, verdict{known: true, refused: true, wait: time.Duration(wait), reset: time.Duration(tat - now)}
	}
	return next, verdict{known: true, remaining: -wait / int64(r.interval), reset: time.Duration(next - now)}
}

// refund gives one token back. Whatever happened between, the bucket never
// holds more than it would without the call.
func (r rate) refund(tat int64) int64 { return tat - int64(r.interval) }
