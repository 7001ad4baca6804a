package attempt

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// latencySlots are the parts of the time that a Latency looks back, of which one more
	// is being filled.
	latencySlots = 6
	// slotTime is how long one of them is.
	slotTime = 10 * time.Second
	// octaves are the powers of two that are told apart, in microseconds, each in
	// octaveParts: 2^26 µs is a minute.
	octaves     = 27
	octaveParts = 8
	// minSamples is how many attempts a quantile is made of at least.
	minSamples = 100
)

// Latency keeps how long the first attempts of a method's calls took in the last minute,
// and how many hedges there were beside them. It is safe for concurrent use, and takes no
// memory but its own 6 KiB.
type Latency struct {
	slots [latencySlots + 1]latencySlot
	// quantile is the last one that was computed, and quantileAt when: the second of the
	// clock.
	quantile   atomic.Int64
	quantileAt atomic.Int64
}

// latencySlot counts the attempts that ended in one part of the time.
type latencySlot struct {
	part   atomic.Int64 // since 1970
	counts [octaves * octaveParts]atomic.Uint32
	// calls and hedges are those that began in it.
	calls, hedges atomic.Uint32
}

// Close implements io.Closer: nothing is to be closed.
func (*Latency) Close() error { return nil }

// record counts an attempt that ended now.
func (l *Latency) record(took time.Duration) { l.slot().counts[cell(took)].Add(1) }

// began counts a call that begins now.
func (l *Latency) began() { l.slot().calls.Add(1) }

// slot is the one that is being filled.
func (l *Latency) slot() *latencySlot {
	part := time.Now().UnixNano() / int64(slotTime)
	slot := &l.slots[part%int64(len(l.slots))]
	if before := slot.part.Load(); before != part && slot.part.CompareAndSwap(before, part) {
		// What others count meanwhile may be lost: it is a statistic.
		for i := range slot.counts {
			slot.counts[i].Store(0)
		}
		slot.calls.Store(0)
		slot.hedges.Store(0)
	}
	return slot
}

// recent calls f with each slot of the last minute.
func (l *Latency) recent(now time.Time, f func(*latencySlot)) {
	part := now.UnixNano() / int64(slotTime)
	for i := range l.slots {
		if p := l.slots[i].part.Load(); p > part-latencySlots && p <= part {
			f(&l.slots[i])
		}
	}
}

// mayHedge reports whether there may be a hedge more, and counts it: in the last minute
// they are at most the share of the calls that a percentile leaves. The quantile alone
// does not see to that, as it is one of the past: where a backend becomes slow all at
// once, every call takes longer.
func (l *Latency) mayHedge(percent uint32) bool {
	slot := l.slot()
	slot.hedges.Add(1) // before it is looked at, for those who ask at once
	calls, hedges := uint64(0), uint64(0)
	l.recent(time.Now(), func(s *latencySlot) {
		calls += uint64(s.calls.Load())
		hedges += uint64(s.hedges.Load())
	})
	if hedges*100 <= calls*uint64(100-percent) {
		return true
	}
	slot.hedges.Add(^uint32(0))
	return false
}

// cell is where a time is counted.
func cell(took time.Duration) int {
	us := uint64(max(1, took.Microseconds()))
	octave := bits.Len64(us) - 1
	if octave >= octaves {
		return octaves*octaveParts - 1
	}
	return octave*octaveParts + int((us-1<<octave)*octaveParts>>octave)
}

// atMost is the longest time that is counted in a cell.
func atMost(cell int) time.Duration {
	octave, part := cell/octaveParts, cell%octaveParts
	return time.Duration(1<<octave+(uint64(part)+1)<<octave/octaveParts) * time.Microsecond
}

// Quantile is the time that so many percent of the attempts of the last minute took at
// most, as of the last second; zero where they are fewer than 100.
func (l *Latency) Quantile(percent uint32) time.Duration {
	now := time.Now()
	if at := l.quantileAt.Load(); at == now.Unix() || !l.quantileAt.CompareAndSwap(at, now.Unix()) {
		return time.Duration(l.quantile.Load())
	}
	q := l.compute(now, percent)
	l.quantile.Store(int64(q))
	return q
}

func (l *Latency) compute(now time.Time, percent uint32) time.Duration {
	var counts [octaves * octaveParts]uint64
	all := uint64(0)
	l.recent(now, func(slot *latencySlot) {
		for c := range slot.counts {
			n := uint64(slot.counts[c].Load())
			counts[c] += n
			all += n
		}
	})
	if all < minSamples {
		return 0
	}
	left := (all*uint64(percent) + 99) / 100
	for c, n := range counts {
		if n >= left {
			return atMost(c)
		}
		left -= n
	}
	return atMost(len(counts) - 1)
}
