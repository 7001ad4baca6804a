package subscription

import (
	"sync"
	"time"
)

// tracker knows how far a partition has come: to the end of the messages that are done without
// one in between that is not. It is safe for concurrent use.
type tracker struct {
	mu   sync.Mutex
	next int64 // all before are done
	open []place
	head int // of open; what is before it is done
}

// place is a message that was taken.
type place struct {
	offset int64
	done   bool
	at     time.Time // of the event
}

// take notes a message. Offsets ascend, perhaps with gaps.
func (t *tracker) take(offset int64, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.head > 0 && t.head == len(t.open) {
		t.open, t.head = t.open[:0], 0
	}
	t.open = append(t.open, place{offset: offset, at: at})
}

// pass notes a message that is done as it comes. It reports whether the end has moved.
func (t *tracker) pass(offset int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.open) - 1
	switch {
	case last < t.head: // nothing is open
		t.next = offset + 1
		return true
	case t.open[last].done: // so that however many take no room
		t.open[last].offset = offset
	default:
		t.open = append(t.open, place{offset: offset, done: true})
	}
	return false
}

// oldest is the time of the first event that is not done; zero where there is none.
func (t *tracker) oldest() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.head < len(t.open) {
		return t.open[t.head].at
	}
	return time.Time{}
}

// done notes that a message is dealt with. It reports whether the end has moved.
func (t *tracker) done(offset int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(offset)
	if i < 0 {
		return false
	}
	t.open[i].done = true
	moved := false
	for t.head < len(t.open) && t.open[t.head].done {
		t.next, moved = t.open[t.head].offset+1, true
		t.head++
	}
	if t.head > 1024 && t.head > len(t.open)/2 {
		t.open = append(t.open[:0], t.open[t.head:]...)
		t.head = 0
	}
	return moved
}

// find is the index of an offset in open, -1 for none.
func (t *tracker) find(offset int64) int {
	low, high := t.head, len(t.open)
	for low < high {
		middle := int(uint(low+high) >> 1) //nolint:gosec // both are indices
		if t.open[middle].offset < offset {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == len(t.open) || t.open[low].offset != offset {
		return -1
	}
	return low
}

// end is the offset that a reader would go on with; from is that where nothing is done yet.
func (t *tracker) end(from int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.next, from)
}

// inFlight is how many messages are not done.
func (t *tracker) inFlight() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.open[t.head:] {
		if !p.done {
			n++
		}
	}
	return n
}
