package attempt

import (
	"time"

	"google.golang.org/grpc/metadata"
)

// KeptInAll is what all streams keep, in bytes.
func KeptInAll() int64 { return keptInAll.Load() }

// Pauses are those of a call whose attempts all end with err and the trailer.
func Pauses(r *Retry, n int, err error, trailer metadata.MD) (all []time.Duration) {
	t := tries{retry: r}
	for range n {
		pause, exact, ok := t.asked(err, trailer)
		if pause = t.backoff(pause, exact); !ok {
			pause = -1
		}
		all = append(all, pause)
	}
	return all
}

// Record counts an attempt.
func (l *Latency) Record(took time.Duration) { l.record(took) }

// Began counts a call.
func (l *Latency) Began() { l.began() }

// MayHedge asks for a hedge.
func (l *Latency) MayHedge(percent uint32) bool { return l.mayHedge(percent) }
