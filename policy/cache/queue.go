package cache

import "sync/atomic"

// maxUses is up to where uses of an entry are counted.
const maxUses = 3

// place is where an entry stands in the Store's queues.
type place struct {
	uses       atomic.Int32
	size       int64
	queue      *queue
	prev, next *entry
}

// queue is a list of entries, the newest first.
type queue struct {
	first, last *entry
	bytes       int64
}

func (q *queue) push(e *entry) {
	e.queue, e.prev, e.next = q, nil, q.first
	if q.first != nil {
		q.first.prev = e
	} else {
		q.last = e
	}
	q.first = e
	q.bytes += e.size
}

func (q *queue) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		q.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		q.last = e.prev
	}
	e.queue, e.prev, e.next = nil, nil, nil
	q.bytes -= e.size
}

// evict drops entries until the rest is within the bound. The caller holds mu.
func (s *Store) evict() {
	for s.bytes > s.max {
		if s.small.bytes > s.max/10 || s.main.last == nil {
			s.evictSmall()
		} else {
			s.evictMain()
		}
	}
}

// evictSmall moves the oldest of the new entries on where it was used, and drops it where
// it was not.
func (s *Store) evictSmall() {
	e := s.small.last
	if e.uses.Load() > 0 {
		s.small.remove(e)
		e.uses.Store(0)
		s.main.push(e)
		return
	}
	s.remove(e)
	s.evicted.Add(1)
	s.ghosts.Note(e.key, 2*len(s.entries)+64)
}

// evictMain gives the oldest entry another round for each use, and drops it then.
func (s *Store) evictMain() {
	e := s.main.last
	if n := e.uses.Load(); n > 0 {
		s.main.remove(e)
		e.uses.Store(n - 1)
		s.main.push(e)
		return
	}
	s.remove(e)
	s.evicted.Add(1)
}
