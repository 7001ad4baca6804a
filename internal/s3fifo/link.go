package s3fifo

// link is an entry's place in the list of those with a tag.
type link[V any] struct {
	of         *Entry[V]
	prev, next *link[V]
}

// link has an entry be found by its tags. The caller holds mu.
func (c *Cache[V]) link(e *Entry[V]) {
	if len(e.Tags) == 0 {
		return
	}
	e.links = make([]link[V], len(e.Tags))
	for i, tag := range e.Tags {
		l, first := &e.links[i], c.tagged[tag]
		if l.of, l.next = e, first; first != nil {
			first.prev = l
		}
		c.tagged[tag] = l
	}
}

// unlink takes that back. The caller holds mu.
func (c *Cache[V]) unlink(e *Entry[V]) {
	for i, tag := range e.Tags {
		l := &e.links[i]
		if l.next != nil {
			l.next.prev = l.prev
		}
		switch {
		case l.prev != nil:
			l.prev.next = l.next
		case l.next != nil:
			c.tagged[tag] = l.next
		default:
			delete(c.tagged, tag)
		}
	}
	e.links = nil
}
