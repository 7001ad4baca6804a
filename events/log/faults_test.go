package log

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

var killPoints = flag.Int("kill-points", 12, "how many calls of the file system TestKillPoints kills the log at, for each seed")

// Events 142 and 143: wherever the power is cut or the process killed, nothing that
// was acknowledged is lost, and nothing is read that was never appended; offsets ascend,
// also over further cuts. Not one start is refused.
func TestKillPoints(t *testing.T) {
	const calls = 1000
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			for point := 1; point <= calls; point += max(1, calls / *killPoints) {
				killAt(t, seed, point)
			}
		})
	}
}

// world is what a test knows of a log whose machine is cut off again and again.
type world struct {
	t      *testing.T
	random *rand.Rand
	fs     *memory

	mu       sync.Mutex
	nextID   uint64
	acked    map[uint64]uint64 // ids by offset
	removed  uint64            // records before may be gone: the sink has acknowledged them
	maxAcked uint64
}

func killAt(t *testing.T, seed uint64, point int) {
	t.Helper()
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, uint64(point))), fs: newMemory(), acked: map[uint64]uint64{}}
	for round := range 3 {
		w.fs.crashAt = point
		if round > 0 {
			w.fs.crashAt = 1 + w.random.IntN(point) // also while it recovers
		}
		w.run()
		if w.random.IntN(3) == 0 {
			w.fs = w.fs.killed()
		} else {
			w.fs = w.fs.cut(w.random)
		}
	}
	w.check()
	if t.Failed() {
		t.Fatalf("seed %d, call %d", seed, point)
	}
}

// run appends, reads and acknowledges until the machine is off.
func (w *world) run() {
	l, err := open(w.fs, "/log", small(), fixedTime)
	if err != nil {
		if !errors.Is(err, errCrashed) {
			w.t.Fatalf("the start is refused: %v", err)
		}
		return
	}
	sink, err := l.Sink("sink")
	if err == nil {
		w.use(l, sink)
	}
	if err := l.Close(); err != nil && !errors.Is(err, errCrashed) {
		w.t.Errorf("close: %v", err)
	}
}

func (w *world) use(l *Log, sink *Sink) {
	w.mu.Lock()
	w.removed = max(w.removed, sink.Acknowledged())
	w.mu.Unlock()
	var callers sync.WaitGroup
	for range 1 + w.random.IntN(6) {
		callers.Go(func() {
			for w.appendOne(l) {
			}
		})
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	random := rand.New(rand.NewPCG(w.random.Uint64(), 0))
	var reader sync.WaitGroup
	reader.Go(func() { w.acknowledge(ctx, l, sink, random) })
	callers.Wait()
	cancel()
	reader.Wait()
}

func (w *world) appendOne(l *Log) bool {
	w.mu.Lock()
	id := w.nextID
	w.nextID++
	w.mu.Unlock()
	offset, err := l.Append(w.t.Context(), body(id))
	if err != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, twice := w.acked[offset]; twice {
		w.t.Errorf("offset %d is that of records %d and %d", offset, other, id)
	}
	w.acked[offset] = id
	w.maxAcked = max(w.maxAcked, offset)
	return true
}

// acknowledge reads some records as a sink would, so that cursors are written and
// segments removed.
func (w *world) acknowledge(ctx context.Context, l *Log, sink *Sink, random *rand.Rand) {
	for {
		record, err := sink.Next(ctx)
		if err != nil {
			return
		}
		if _, ok := idOf(record.Body); !ok {
			w.t.Errorf("offset %d: the sink gets what was never appended", record.Offset)
		}
		if random.IntN(20) > 0 {
			continue
		}
		w.mu.Lock()
		w.removed = max(w.removed, record.Offset+1)
		w.mu.Unlock()
		sink.Ack(record.Offset)
		if random.IntN(3) == 0 && l.saveCursors() != nil {
			return
		}
	}
}

// check opens the log on a sound machine.
func (w *world) check() {
	l, err := open(w.fs, "/log", small(), fixedTime)
	if err != nil {
		w.t.Fatalf("the start is refused: %v", err)
	}
	defer closeTest(w.t, l)
	found := readAll(w.t, l)

	for offset, id := range w.acked {
		got, ok := found[offset]
		if ok && got != id || !ok && offset >= w.removed {
			w.t.Errorf("record %d was acknowledged with offset %d; that holds record %d (%t)", id, offset, got, ok)

		}
	}
	next := l.Stats().Next
	if len(w.acked) > 0 && next <= w.maxAcked {
		w.t.Errorf("the next offset is %d, after %d was acknowledged", next, w.maxAcked)
	}
	if offset, err := l.Append(w.t.Context(), body(w.nextID)); err != nil || offset != next {
		w.t.Errorf("appended at %d, want %d: %v", offset, next, err)
	}
}
