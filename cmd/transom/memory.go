package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is how far the heap may grow between two collections, at least. A
// gateway's live heap is small, mostly the compiled schema; with Go's default of
// 100 % it would be collected hundreds of times a second under load.
const headroom = 96 << 20

// tuneMemory sets the garbage collector's pace by what is live now. Whoever
// sets GOGC or GOMEMLIMIT knows better.
func tuneMemory() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	live := uint64(4 << 20) // what Go counts on before the first collection
	if sample[0].Value.Kind() == metrics.KindUint64 {
		live = max(live, sample[0].Value.Uint64())
	}
	debug.SetGCPercent(int(max(100, headroom*100/live)))
}
