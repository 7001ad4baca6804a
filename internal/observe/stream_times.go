package observe

import (
	"sync/atomic"
	"time"
)

// streamTimes count the streams of a route by how long they were open, in the buckets of the histogram
// that they are in as well, so that they can be taken out of it: it tells of streams and others by the
// same labels, and what a stream of an hour tells is no latency.
type streamTimes [numBuckets]atomic.Uint64

// streamed counts a stream that has ended, after it was counted as a request.
func (r *RouteMetrics) streamed(open time.Duration) {
	times := r.streams.Load()
	if times == nil {
		r.streams.CompareAndSwap(nil, new(streamTimes))
		times = r.streams.Load()
	}
	for i, upper := range durationBuckets {
		if open.Seconds() <= upper {
			times[i].Add(1)
			return
		}
	}
	times[numBuckets-1].Add(1)
}

// upTo are the streams of each bucket and all below it, as Prometheus counts.
func (t *streamTimes) upTo() (sums [numBuckets]uint64) {
	if t == nil {
		return sums
	}
	sum := uint64(0)
	for i := range t {
		sum += t[i].Load()
		sums[i] = sum
	}
	return sums
}
