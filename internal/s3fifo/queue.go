package s3fifo

// queue is a list of entries, the newest first.
type queue[V any] struct {
	first, last *Entry[V]
	bytes       int64
}

func (q *queue[V]) push(e *Entry[V]) {
	e.queue, e.prev, e.next = q, nil, q.first
	if q.first != nil {
		q.first.prev = e
	} else {
		q.last = e
	}
	q.first = e
	q.bytes += e.Size
}

func (q *queue[V]) remove(e *Entry[V]) {
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
	q.bytes -= e.Size
}
