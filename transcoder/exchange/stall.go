package exchange

import (
	"sync/atomic"
	"time"
)

const (
	// WriteTimeout ends the call of a client that does not read.
	WriteTimeout = 30 * time.Second
	// LastWriteGrace is what such a client gets when the call is over already.
	LastWriteGrace = time.Second
)

// LongAnswer is the size from which on a unary answer has to wait, over HTTP/2, for a
// client that gives its stream no window: net/http keeps less until the call has
// ended.
const LongAnswer = 4 << 10

// StallWatch notes since when a write is waiting, for a timer to look at. It
// takes the place of a write deadline, as HTTP/2 resets a stream whose deadline
// passes, also one on which nothing is being written. The zero value is ready;
// stalled may be called beside the others.
type StallWatch struct {
	epoch time.Time    // of the first write
	since atomic.Int64 // when the write under way began, in nanoseconds after epoch, plus 1; 0 for none
}

// Begin is called before a write and returns the time.
func (w *StallWatch) Begin() time.Time {
	now := time.Now()
	if w.epoch.IsZero() {
		w.epoch = now
	}
	w.since.Store(int64(now.Sub(w.epoch)) + 1)
	return now
}

// End is called behind the write.
func (w *StallWatch) End() { w.since.Store(0) }

// Stalled reports whether a write has been waiting for as long as d.
func (w *StallWatch) Stalled(d time.Duration) bool {
	since := w.since.Load()
	return since != 0 && int64(time.Since(w.epoch))+1-since >= int64(d)
}
