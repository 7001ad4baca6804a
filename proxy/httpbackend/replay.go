package httpbackend

import (
	"io"
	"sync"

	"github.com/transom-gateway/transom/proxy/attempt"
)

// replay is the body of a request that may be made again (Traffic 66). What attempts have
// read of it is kept, as far as there is room, and nothing is read that no attempt asks
// for. A Read of the client's that is under way when an attempt ends goes on, and what it
// brings is the next attempt's.
type replay struct {
	from *requestBody

	mu      sync.Mutex
	changed sync.Cond // of all below, and of a reader's over
	kept    *attempt.Kept
	whole   bool // kept is all that attempts have read
	reading bool // a Read of the client's is under way
	buffer  *[bufferSize]byte
	pending []byte // what it brought, and no attempt has read; in buffer
	err     error  // what comes behind
}

// newReplay keeps so many bytes of a body at most.
func newReplay(from *requestBody, limit int) *replay {
	r := &replay{from: from, kept: attempt.NewKept(limit), whole: true}
	r.changed.L = &r.mu
	return r
}

// replayReader is the body as one attempt sends it.
type replayReader struct {
	*replay
	at   int  // how many bytes it has read, while all are kept
	has  bool // it has read something
	over bool // nobody wants more of it
	cut  bool // the server's connection is closed
}

// reader begins an attempt.
func (r *replay) reader() *replayReader { return &replayReader{replay: r} }

// Read implements io.Reader.
func (a *replayReader) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		switch {
		case a.over:
			return 0, over(a.cut)
		case a.at < a.kept.Len():
			n := copy(p, a.kept.From(a.at))
			a.at, a.has = a.at+n, true
			return n, nil
		case len(a.pending) > 0:
			return a.take(p), nil
		case a.err != nil:
			return 0, a.err
		case !a.reading:
			a.reading = true
			go a.read()
		}
		a.changed.Wait()
	}
}

// taken reports whether the attempt has read anything.
func (a *replayReader) taken() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.has
}

// take reads what no attempt has read, and keeps it if there is room. a.mu is held.
func (a *replayReader) take(p []byte) int {
	n := copy(p, a.pending)
	if a.whole {
		a.whole = a.kept.Add(a.pending[:n])
	}
	a.at, a.has = a.kept.Len(), true
	a.pending = a.pending[n:]
	return n
}

// Close implements io.Closer.
func (a *replayReader) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.changed.Broadcast()
	return nil
}

// stop is Close, once the server's connection is closed.
func (a *replayReader) stop() {
	a.mu.Lock()
	a.cut = true
	a.mu.Unlock()
	_ = a.Close() // it never fails
}

// read reads from the client once.
func (r *replay) read() {
	if r.buffer == nil {
		if r.buffer, _ = buffers.Get().(*[bufferSize]byte); r.buffer == nil {
			r.buffer = new([bufferSize]byte) // the pool holds nothing else
		}
	}
	n, err := r.from.Read(r.buffer[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading, r.pending, r.err = false, r.buffer[:n], err
	r.changed.Broadcast()
}

// consumed reports whether an attempt has read what the next one could not.
func (r *replay) consumed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.whole || r.err != nil && r.err != io.EOF
}

// settle has nothing kept any more: no other attempt is made.
func (a *replayReader) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.whole = false; a.at >= a.kept.Len() {
		a.kept.Free()
		a.at = 0
	}
}

// end gives the memory back. The body has ended: nobody reads from it any more.
func (r *replay) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept.Free()
	for r.reading {
		r.changed.Wait()
	}
	if r.buffer != nil {
		buffers.Put(r.buffer)
		r.buffer, r.pending = nil, nil
	}
	if r.err == nil {
		r.err = errOver
	}
}
