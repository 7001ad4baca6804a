// Package clocktest is a machine's clock that somebody sets while a test runs.
package clocktest

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Clock is the machine's clock as somebody sets it: dates change, and the time between two moments does not. Its
// moments are not to be compared with those of others.
type Clock struct {
	begun time.Time
	by    atomic.Int64
}

// New is a clock that is right.
func New() *Clock { return &Clock{begun: time.Now()} }

// Step sets it forward, or back.
func (c *Clock) Step(by time.Duration) { c.by.Add(int64(by)) }

// Now is what time.Now would say, which within a bubble of synctest has a date alone.
func (c *Clock) Now() time.Time {
	elapsed := time.Since(c.begun)
	date := c.begun.Round(0).Add(elapsed + time.Duration(c.by.Load()))
	// A time with both clocks has, from the top, a bit that says so, 33 of the seconds since 1885 and 30 of
	// nanoseconds in its first word, and what no step changes in the second. There is no other way to make one.
	seconds := date.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	both := struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}{1<<63 | uint64(seconds)<<30 | uint64(date.Nanosecond()), int64(elapsed) + 1, time.Local} //nolint:gosec // of our time
	return *(*time.Time)(unsafe.Pointer(&both)) //nolint:gosec // see above
}
