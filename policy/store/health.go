package store

import (
	"sync/atomic"
	"time"
)

// healthPause is how long a store that failed is left alone.
const healthPause = 100 * time.Millisecond

// Health keeps calls from waiting for a store that is away, one timeout each: after a
// failure the store is not asked until a probe has found it, one probe at a time, beside the
// calls and not in their way. A probe is started by a call, so that an idle gateway does
// nothing.
type Health struct {
	now      func() time.Time
	probe    func() bool
	away     atomic.Bool
	probing  atomic.Bool
	begun    time.Time
	next     atomic.Int64 // no probe before, in nanoseconds since begun
	failures atomic.Int64
}

// NewHealth returns the Health of a store that is there. probe asks whether it is back.
func NewHealth(now func() time.Time, probe func() bool) *Health {
	return &Health{now: now, begun: now(), probe: probe}
}

// Ask reports whether to ask the store.
func (h *Health) Ask() bool {
	if !h.away.Load() {
		return true
	}
	if h.elapsed() >= h.next.Load() && h.probing.CompareAndSwap(false, true) {
		go func() {
			defer h.probing.Store(false)
			if h.probe() {
				h.away.Store(false)
			} else {
				h.next.Store(h.elapsed() + int64(healthPause))
			}
		}()
	}
	return false
}

// elapsed is not changed when somebody sets the machine's clock: a store would be left alone for as long as
// that was set back.
func (h *Health) elapsed() int64 { return int64(h.now().Sub(h.begun)) }

// Failed notes that the store did not answer.
func (h *Health) Failed() {
	h.failures.Add(1)
	h.next.Store(h.elapsed() + int64(healthPause))
	h.away.Store(true)
}

// Failures returns how many calls were not answered.
func (h *Health) Failures() int64 { return h.failures.Load() }
