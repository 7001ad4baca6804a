package httpcache

// All that flights hold of answers, and those that were dropped while clients read them, take
// their memory from cache.max_bytes (Traffic 120). Where that is used up, an answer goes to the
// one who asked first alone, and the others ask for themselves.

// release gives back what the flight holds, once it has ended and the last of its readers has
// gone.
func (f *flight) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.body.Forget()
}

// readBytes is from where on a body may stay in memory while a client reads it: what is
// smaller, the connection takes at once.
const readBytes = 4 << 10

// writeBody writes the body of an answer that is kept.
func (q *request) writeBody(a *answer) error {
	if len(a.body) > readBytes {
		m := q.flights.memory
		m.Pin(&a.Entry)
		defer m.Unpin(&a.Entry)
	}
	_, err := q.x.W.Write(a.body)
	return err
}
