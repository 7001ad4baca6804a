package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// Semantics 304: the growth is a number of bytes, whatever is live; only what a
// collection has work with raises it.
func TestPercent(t *testing.T) {
	for _, test := range []struct {
		live, pointers uint64
		want           int
	}{
		{0, 0, 2400}, {1 << 20, 1 << 20, 2400}, {6 << 20, 2 << 20, 1600}, {48 << 20, 48 << 20, 200}, {96 << 20, 9 << 20, 100},
		{192 << 20, 0, 50}, {1200 << 20, 50 << 20, 8}, {1 << 30, 1 << 30, 100}, {1 << 30, 1 << 29, 50}, {1 << 50, 0, 1},
	} {
		if got := percentFor(collection{live: test.live, pointers: test.pointers}, 96<<20); got != test.want {
			t.Errorf("%d bytes, %d with pointers: %d %%, want %d", test.live, test.pointers, got, test.want)
		}
	}
}

// room is how far the heap may grow from what is live now until the next
// collection.
func room() (live, room uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/goal:bytes"}}
	metrics.Read(samples)
	live = samples[0].Value.Uint64()
	return live, samples[1].Value.Uint64() - min(live, samples[1].Value.Uint64())
}

// Semantics 304: the room above the live heap stays the floor as the heap grows
// and shrinks; a ratio that was right at the start would let it grow with it.
func TestPaceFollowsTheLiveHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	const floor = 64 << 20
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	runtime.GC()
	stop := Pace(floor)
	defer stop()
	for _, holds := range []struct {
		plain, pointers int // bytes of objects without and with pointers
		want            int // how far the heap may grow
	}{
		{0, 0, floor}, {8 << 20, 0, floor}, {32 << 20, 16 << 20, floor}, {56 << 20, 0, floor},
		{160 << 20, 0, floor}, {400 << 20, 0, floor}, {8 << 20, 0, floor},
		{0, 160 << 20, 160 << 20}, {160 << 20, 160 << 20, 160 << 20}, {0, 0, floor},
	} {
		held, more := make([]byte, holds.plain), make([]*byte, holds.pointers/8)
		// More than one collection may pass before the cleanup has run.
		poll.Until(t, "the room above the live heap to be what it should", func() bool {
			runtime.GC()
			live, free := room()
			want := uint64(holds.want)
			return live >= uint64(holds.plain+holds.pointers) && free > want-want/8 && free < want+want/4+leastHeap
		})
		runtime.KeepAlive(held)
		runtime.KeepAlive(more)
	}
	stop()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("stop left %d %%, want the 100 of before", got)
	}
}

// Semantics 304: where collections are seldom the room is halved, twice at most, and it grows again
// with the first ones that follow each other soon.
func TestPaceOfQuietProcess(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	runtime.GC()
	p := newPace(64 << 20)
	p.quiet = time.NewTimer(time.Hour)
	defer p.stop()
	at := time.Now()
	after := func(d time.Duration) func() {
		return func() { at = at.Add(d); p.collected(at) }
	}
	after(time.Minute)()
	whole := p.percent
	for i, step := range []struct {
		what func()
		want int
	}{
		{p.halve, 1}, {p.halve, 2}, {p.halve, 2}, {after(seldom), 2}, {after(often), 2}, {after(often - 1), 1}, {after(often), 1},
		{after(0), 0}, {after(0), 0}, {p.halve, 1}, {p.stop, 1}, {p.halve, 1},
	} {
		step.what()
		if want := whole >> step.want; p.halved != step.want || p.percent < want-want/8 || p.percent > want+want/8+1 {
			t.Errorf("step %d: halved %d times, %d %%, want %d times and %d", i, p.halved, p.percent, step.want, want)
		}
	}
}

// Semantics 304: what many clients have left is collected once the process is quiet, and what stays is not looked at again
// and again.
func TestPaceOfClientsThatHaveGone(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	runtime.GC()
	const floor = 64 << 20
	p := newPace(floor)
	p.quiet = time.NewTimer(time.Hour)
	defer p.stop()
	collect, times := p.collect, 0
	p.collect = func() {
		times++
		collect()
	}
	at := time.Now()
	quiet := func(held []byte) (live uint64, looked int) {
		runtime.GC()
		runtime.KeepAlive(held)
		at = at.Add(time.Minute)
		p.collected(at)
		times = 0
		for range mostHalved + 2 {
			p.halve()
		}
		return p.last().live, times
	}
	little, looked := quiet(nil)
	if looked != 0 {
		t.Errorf("it is looked again %d times where nothing came", looked)
	}
	if live, looked := quiet(make([]byte, floor)); looked != 1 || live > little+floor/8 {
		t.Errorf("of %d bytes that have gone %d are held; it was looked again %d times", floor, live-little, looked)
	}
	kept := make([]byte, floor)
	if live, looked := quiet(kept); looked != 1 || live < floor {
		t.Errorf("%d bytes are live; it was looked again %d times", live, looked)
	}
	if _, looked := quiet(kept); looked != 0 {
		t.Errorf("it is looked again %d times at what stays", looked)
	}
	runtime.KeepAlive(kept)
}

// Semantics 304: who sets GOGC knows better.
func TestPaceLeavesGOGC(t *testing.T) {
	t.Setenv("GOGC", "50")
	before := debug.SetGCPercent(50)
	defer debug.SetGCPercent(before)
	defer Pace(64 << 20)()
	if got := debug.SetGCPercent(50); got != 50 {
		t.Errorf("GOGC is %d, want the 50 that was set", got)
	}
}

// TestPaceBegins: the first wait for a collection is seen by what ends it (the race detector looks).
func TestPaceBegins(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	synctest.Test(t, func(t *testing.T) {
		p := newPace(1 << 20)
		p.begin()
		time.Sleep(seldom)
		synctest.Wait()
		p.stop()
		if p.halved != 1 {
			t.Errorf("without a collection the growth was halved %d times, want once", p.halved)
		}
	})
}
