package stream

import (
	"sort"
	"sync"
)

// ring holds the newest events, bounded by their number and bytes. It has every event of its topics from
// the offset low up to head.
type ring struct {
	maxBytes, maxEvents int

	mu        sync.RWMutex
	entries   []*entry // from first on; what is before it is gone
	first     int
	bytes     int
	low, head uint64
	// generation grows when topics are added: what was read before is not complete.
	generation int
	grown      chan struct{} // closed when head grows
}

func (r *ring) init(maxBytes, maxEvents int, head uint64) {
	*r = ring{maxBytes: maxBytes, maxEvents: maxEvents, low: head, head: head, grown: make(chan struct{})}
}

// add appends entries, and says that all before head are known. They were read from that generation on.
func (r *ring) add(batch []*entry, head uint64, generation int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.head = head
	if r.generation != generation {
		r.low, batch = head, nil
	}
	for _, e := range batch {
		r.entries = append(r.entries, e)
		r.bytes += e.size
	}
	for r.bytes > r.maxBytes || len(r.entries)-r.first > r.maxEvents {
		e := r.entries[r.first]
		r.entries[r.first] = nil
		r.first++
		r.bytes -= e.size
		r.low = e.offset + 1
	}
	if r.first > len(r.entries)/2 {
		n := copy(r.entries, r.entries[r.first:])
		clear(r.entries[n:])
		r.entries, r.first = r.entries[:n], 0
	}
	close(r.grown)
	r.grown = make(chan struct{})
}

// forget drops what is there, as it is not complete any more.
func (r *ring) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.first, r.bytes, r.low = nil, 0, 0, r.head
	r.generation++
}

func (r *ring) current() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.generation
}

// lowest is the offset from which on the ring has all.
func (r *ring) lowest() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.low
}

func (r *ring) size() (events, bytes int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.entries) - r.first, r.bytes
}

// end is the offset behind the newest event, and what is closed when that changes.
func (r *ring) end() (head uint64, grown <-chan struct{}) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.head, r.grown
}

// from appends up to most entries from an offset on to dst, and returns the offset behind what
// was looked at. It reports false where they are not in memory any more.
func (r *ring) from(dst []*entry, offset uint64, most int) (all []*entry, next uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if offset < r.low {
		return dst, offset, false
	}
	live := r.entries[r.first:]
	i := sort.Search(len(live), func(i int) bool { return live[i].offset >= offset })
	if len(live)-i <= most {
		return append(dst, live[i:]...), max(offset, r.head), true
	}
	dst = append(dst, live[i:i+most]...)
	return dst, dst[len(dst)-1].offset + 1, true
}
