package overload_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/internal/heap"
	"github.com/transom-gateway/transom/internal/overload"
)

// Traffic 200: a stage begins at its percentage and ends five points lower, each is counted, and
// each change is a line of the log.
func TestStages(t *testing.T) {
	var log bytes.Buffer
	var live uint64
	var saves []bool
	g := overload.New(overload.Options{
		Log:   slog.New(slog.NewTextHandler(&log, nil)),
		Saves: func(on bool) { saves = append(saves, on) },
		Usage: func() heap.Use { return heap.Use{Live: live, Limit: 1000} },
	})
	p := overload.Default
	for _, step := range []struct {
		live uint64
		want overload.Stage
	}{
		{0, overload.Normal}, {749, overload.Normal}, {750, overload.Save}, {849, overload.Save}, {700, overload.Save},
		{699, overload.Normal}, {850, overload.Shed}, {800, overload.Shed}, {799, overload.Save}, {920, overload.Refuse},
		{870, overload.Refuse}, {869, overload.Shed}, {0, overload.Normal}, {5000, overload.Refuse},
	} {
		live = step.live
		g.Set(&p) // looks at once
		if got := g.Stage(); got != step.want {
			t.Errorf("%d of 1000: %v, want %v", live, got, step.want)
		}
	}
	g.Set(nil)
	if got := g.Stage(); got != overload.Normal {
		t.Errorf("switched off: %v", got)
	}
	if got := [...]int64{g.Entered(overload.Save), g.Entered(overload.Shed), g.Entered(overload.Refuse)}; got != [...]int64{3, 3, 2} {
		t.Errorf("stages began %v times, want 3, 3, 2", got)
	}
	if len(saves) != 6 || !saves[0] || saves[5] {
		t.Errorf("saving changed so: %v", saves)
	}
	if got := strings.Count(log.String(), "\n"); got != 9 {
		t.Errorf("%d lines, want one for each of 9 changes:\n%s", got, log.String())
	}
	if !strings.Contains(log.String(), `msg="memory is nearly used up: all calls are refused but those of grpc.health.v1" stage=refuse before=save live_bytes=920 limit_bytes=1000`) {
		t.Errorf("the log has no such line:\n%s", log.String())
	}
}

// A nil Guard, and one of a process without a limit, let everything pass.
func TestNone(t *testing.T) {
	var none *overload.Guard
	none.Set(&overload.Percents{})
	unlimited := overload.New(overload.Options{Usage: func() heap.Use { return heap.Use{Live: 1 << 60} }})
	unlimited.Set(&overload.Percents{Save: 1, Shed: 2, Refuse: 3})
	for _, g := range []*overload.Guard{none, unlimited} {
		if g.Stage() != overload.Normal || g.Saving() || !g.Await(nil) {
			t.Errorf("%v: something is done without", g)
		}
	}
}

// What is refused takes no memory, so that nothing else has the heap collected, and a stage would
// not end.
func TestEnds(t *testing.T) {
	var live atomic.Uint64
	live.Store(999)
	g := overload.New(overload.Options{Usage: func() heap.Use { return heap.Use{Live: live.Load(), Limit: 1000} }})
	defer g.Start()()
	g.Set(&overload.Default)
	if g.Stage() != overload.Refuse {
		t.Fatalf("%v, want refuse", g.Stage())
	}
	done := make(chan struct{})
	close(done)
	if g.Await(done) {
		t.Error("a wait that was given up found memory")
	}
	live.Store(10)
	if !g.Await(make(chan struct{})) || g.Stage() >= overload.Shed {
		t.Errorf("%v, want normal", g.Stage())
	}
}

// Traffic 200: what bodies take between two looks counts three times, also what is held no more.
func TestBodiesBetweenLooks(t *testing.T) {
	collections := uint64(0)
	g := overload.New(overload.Options{Usage: func() heap.Use { return heap.Use{Live: 500, Limit: 1000, Collections: collections} }})
	look := func() {
		collections++
		g.Set(&overload.Default)
	}
	g.Read(100) // which is in Live
	look()
	if g.Full() {
		t.Error("full at once")
	}
	g.Read(139)
	if g.Full() {
		t.Error("full at 917 of 1000")
	}
	g.Read(1)
	if !g.Full() || g.Stage() != overload.Normal {
		t.Error("not full at 920 of 1000")
	}
	g.Set(&overload.Default)
	if !g.Full() {
		t.Error("not full although nothing has been collected")
	}
	look()
	if g.Full() {
		t.Error("full although a look has found 500 of 1000")
	}
	g.Set(nil)
	g.Read(10_000)
	if g.Full() {
		t.Error("full although it is off")
	}
}

// Traffic 200: calls and connections that have come since the last look count, until they have gone, and
// a connection without a call as one that will bring one, where another is to be accepted.
func TestCallsBetweenLooks(t *testing.T) {
	collections := uint64(0)
	g := overload.New(overload.Options{Usage: func() heap.Use { return heap.Use{Live: 500 << 20, Limit: 1000 << 20, Collections: collections} }})
	var calls atomic.Int64
	g.Count(&calls)
	collections++
	g.Set(&overload.Default)
	// 350 MiB are left until 850.
	for _, step := range []struct {
		calls, connections    int64
		streams, all, crowded bool
	}{
		{calls: 12_799}, {calls: 12_800, streams: true, crowded: true},
		{calls: 12_800 - 36, connections: 28, streams: true, crowded: true}, {calls: 12_800 - 37, connections: 28},
		{calls: 15_360, streams: true, all: true, crowded: true}, {calls: 15_359, streams: true, crowded: true},
		{calls: 1000, connections: 9177, crowded: true}, {calls: 1000, connections: 9178, streams: true, crowded: true},
		{connections: 5600, crowded: true}, {connections: 5599}, {},
	} {
		calls.Store(step.calls)
		g.Connect(step.connections)
		if streams, all, crowded := g.Refuses(true), g.Refuses(false), g.Crowded(); streams != step.streams || all != step.all || crowded != step.crowded {
			t.Errorf("%+v: %v, %v, %v", step, streams, all, crowded)
		}
		g.Connect(-step.connections)
	}
}

// Traffic 200: calls that come after a collection, but before it is looked at, count although they were
// not there before; that those which were there take less than expected buys nobody anything.
func TestCallsBesideALook(t *testing.T) {
	use := heap.Use{Live: 100 << 20, Limit: 1000 << 20}
	g := overload.New(overload.Options{Usage: func() heap.Use { return use }})
	var calls atomic.Int64
	g.Count(&calls)
	look := func() {
		use.Collections++
		g.Set(&overload.Default)
	}
	look()
	calls.Store(20_000) // 546 MiB
	look()
	if g.Refuses(true) {
		t.Error("refused at 646 of 1000 MiB")
	}
	use.Live = 400 << 20 // of 546
	look()
	calls.Store(28_000)
	if !g.Refuses(true) {
		t.Error("not refused at 865 of 1000 MiB")
	}
}

// Traffic 200: where Go holds more than its limit, nothing more begins until it does not, whatever is counted.
func TestBeyondTheLimit(t *testing.T) {
	var held atomic.Uint64
	g := overload.New(overload.Options{Usage: func() heap.Use { return heap.Use{Live: 100 << 20, Limit: 1000 << 20, Held: held.Load()} }})
	g.Set(&overload.Default)
	defer g.Start()()
	held.Store(1050 << 20)
	g.Come(1 << 20)
	if g.Refuses(false) || g.Full() {
		t.Error("refused although a collection that runs may take as much")
	}
	held.Store(1070 << 20)
	g.Come(1 << 20)
	if !g.Refuses(false) || !g.Refuses(true) || !g.Full() || !g.Crowded() {
		t.Error("not refused at 107 % of the limit")
	}
	held.Store(900 << 20)
	if !g.Await(make(chan struct{})) || g.Refuses(false) {
		t.Error("refused although there is memory again")
	}
}

// Traffic 200: a limit that is set after the percentages holds from the start on, not from the next collection.
func TestLimitBeforeStart(t *testing.T) {
	var limit atomic.Uint64
	g := overload.New(overload.Options{Usage: func() heap.Use { return heap.Use{Live: 1 << 20, Limit: limit.Load()} }})
	g.Set(&overload.Default)
	limit.Store(100 << 20)
	defer g.Start()()
	g.Connect(10_000)
	if !g.Refuses(true) {
		t.Error("not refused at 351 of 100 MiB")
	}
}

// Traffic 200: the heap is looked at at once where much is expected to have come, and who waits goes on.
func TestLooksWhereMuchHasCome(t *testing.T) {
	looks := make(chan struct{}, 10)
	var collections atomic.Uint64
	g := overload.New(overload.Options{Usage: func() heap.Use {
		select {
		case looks <- struct{}{}:
		default:
		}
		return heap.Use{Live: 500 << 20, Limit: 1000 << 20, Collections: collections.Add(1)}
	}})
	g.Set(&overload.Default)
	defer g.Start()()
	g.Read(200 << 20)
	if !g.Await(make(chan struct{})) {
		t.Error("nothing has come to wait for")
	}
	if len(looks) < 3 {
		t.Error("nobody has looked")
	}
}
