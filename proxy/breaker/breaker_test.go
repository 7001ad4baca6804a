package breaker_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/proxy/breaker"
)

// usual is what circuit_breaker: {} means.
var usual = breaker.Options{Percent: 50, MinCalls: 20, Window: 10 * time.Second, OpenFor: 5 * time.Second, Probes: 1}

// changes collects what a Breaker tells.
type changes struct {
	mu  sync.Mutex
	all []breaker.Change
}

func (c *changes) add(change breaker.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, change)
}

func (c *changes) states() (all []breaker.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range c.all {
		all = append(all, change.To)
	}
	return all
}

// call makes one call that ends as r, if it may pass.
func call(b *breaker.Breaker, r breaker.Result) bool {
	permit, _, ok := b.Ask()
	if ok {
		b.Tell(permit, r)
	}
	return ok
}

func calls(b *breaker.Breaker, n int, r breaker.Result) {
	for range n {
		call(b, r)
	}
}

// TestOpens: Traffic 101: half of at least 20 calls in 10 s open it, or so many failures
// in a row.
func TestOpens(t *testing.T) {
	const good, bad, none = breaker.Success, breaker.Failure, breaker.Nothing
	type step struct {
		n int
		r breaker.Result
		// then is what passes before the next step.
		then time.Duration
	}
	row := usual
	row.Consecutive = 3
	for _, test := range []struct {
		name    string
		options breaker.Options
		steps   []step
		want    breaker.State
	}{
		{"19 failures", usual, []step{{19, bad, 0}}, breaker.Closed},
		{"20 failures", usual, []step{{20, bad, 0}}, breaker.Open},
		{"half", usual, []step{{10, good, 0}, {10, bad, 0}}, breaker.Open},
		{"less than half", usual, []step{{11, good, 0}, {10, bad, 0}}, breaker.Closed},
		{"half, seconds apart", usual, []step{{10, good, 8 * time.Second}, {10, bad, 0}}, breaker.Open},
		{"the window is over", usual, []step{{10, bad, 11 * time.Second}, {10, bad, 0}}, breaker.Closed},
		{"the successes are too old", usual, []step{{100, good, 11 * time.Second}, {20, bad, 0}}, breaker.Open},
		{"Traffic 100: nothing counts as nothing", usual, []step{{19, bad, 0}, {1000, none, 0}}, breaker.Closed},
		{"2 in a row", row, []step{{2, bad, 0}, {1, good, 0}, {2, bad, 0}}, breaker.Closed},
		{"3 in a row", row, []step{{1000, good, 0}, {3, bad, 0}}, breaker.Open},
		{"in a row, however slowly", row, []step{{2, bad, time.Hour}, {1, bad, 0}}, breaker.Open},
		{"nothing does not end the row", row, []step{{2, bad, 0}, {1, none, 0}, {1, bad, 0}}, breaker.Open},
		{"the share beside a number", row, []step{{1, good, 0}, {2, bad, 0}, {1, good, 0}, {2, bad, 0}, {13, good, 0}, {2, bad, 0}}, breaker.Closed},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := breaker.New(test.options, nil)
				for _, s := range test.steps {
					calls(b, s.n, s.r)
					time.Sleep(s.then)
				}
				if got := b.Status(); got.State != test.want {
					t.Errorf("it is %v: %+v, want %v", got.State, got, test.want)
				}
			})
		})
	}
}

// TestProbes: Traffic 103: after a while probes pass, and nothing else; they close it or
// open it for twice as long; one that was cancelled gives its place back.
func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := usual
		o.Probes = 2
		var told changes
		b := breaker.New(o, told.add)
		calls(b, 20, breaker.Failure)
		for times := time.Duration(1); times <= 40; times *= 2 {
			_, left, ok := b.Ask()
			if about := min(times, 10) * o.OpenFor; ok || left < about*8/10 || left > about*12/10 {
				t.Fatalf("open for %v (%v), want about %v", left, ok, about)
			}
			if !b.Refuses() {
				t.Error("it does not say that it refuses")
			}
			time.Sleep(left)
			if b.Refuses() {
				t.Error("it says that it refuses a probe")
			}
			one, _, first := b.Ask()
			two, _, second := b.Ask()
			_, wait, third := b.Ask()
			if !first || !second || third || wait != time.Second || !b.Refuses() {
				t.Fatalf("probes pass: %v, %v, %v (%v), want two", first, second, third, wait)
			}
			b.Tell(one, breaker.Nothing)
			if one, _, first = b.Ask(); !first {
				t.Fatal("a cancelled probe does not give its place back")
			}
			b.Tell(two, breaker.Success)
			if _, _, more := b.Ask(); more {
				t.Error("a third probe passes")
			}
			b.Tell(one, breaker.Failure)
		}
		_, left, _ := b.Ask()
		time.Sleep(left)
		calls(b, 2, breaker.Success)
		if s := b.Status(); s != (breaker.Status{}) {
			t.Errorf("two successes leave it %+v", s)
		}
		calls(b, 19, breaker.Failure)
		if s := b.Status(); s.State != breaker.Closed || s.Failures != 19 {
			t.Errorf("it begins with what was before: %+v", s)
		}
		call(b, breaker.Failure)
		if _, left, _ = b.Ask(); left > o.OpenFor*12/10 {
			t.Errorf("opened again it is open for %v", left)
		}
	})
}

// TestStaleResults: calls that began before the Breaker opened say nothing of what it is
// once it has closed again.
func TestStaleResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(usual, nil)
		var old []breaker.Permit
		for range 30 {
			permit, _, _ := b.Ask()
			old = append(old, permit)
		}
		calls(b, 20, breaker.Failure)
		_, left, _ := b.Ask()
		time.Sleep(left)
		call(b, breaker.Success)
		for _, permit := range old {
			b.Tell(permit, breaker.Failure)
		}
		if s := b.Status(); s != (breaker.Status{}) {
			t.Errorf("they count: %+v", s)
		}
	})
}

// TestLostProbe: a probe without a result, as of a stream that waits for its first
// message, does not keep the Breaker half open for ever.
func TestLostProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(usual, nil)
		calls(b, 20, breaker.Failure)
		_, left, _ := b.Ask()
		time.Sleep(left)
		lost, _, _ := b.Ask()
		time.Sleep(9 * time.Second)
		if call(b, breaker.Success) {
			t.Error("another probe passes too soon")
		}
		time.Sleep(2 * time.Second)
		another, _, ok := b.Ask()
		if _, _, third := b.Ask(); !ok || third {
			t.Errorf("probes pass after the first is lost: %v, %v, want one", ok, third)
		}
		b.Tell(lost, breaker.Nothing)
		b.Tell(another, breaker.Success)
		if s := b.Status().State; s != breaker.Closed {
			t.Errorf("it is %v", s)
		}
	})
}

// TestByHand: Traffic 106: opened or closed by hand it stays so until told otherwise.
func TestByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told changes
		b := breaker.New(usual, told.add)
		b.Set(breaker.OpenByHand)
		time.Sleep(time.Hour)
		if call(b, breaker.Success) || !b.Refuses() {
			t.Error("a call passes one that was opened by hand")
		}
		b.Set(breaker.ClosedByHand)
		calls(b, 100, breaker.Failure)
		if !call(b, breaker.Failure) {
			t.Error("failures open one that was closed by hand")
		}
		b.Set(breaker.Closed)
		calls(b, 20, breaker.Failure)
		if call(b, breaker.Success) {
			t.Error("it does not decide for itself again")
		}
		want := []breaker.State{breaker.OpenByHand, breaker.ClosedByHand, breaker.Closed, breaker.Open}
		if got := told.states(); len(got) != len(want) || got[3] != want[3] {
			t.Errorf("it told of %v, want %v", got, want)
		}
	})
}

// TestHalfOpenEdge: Traffic 103: of 1,000,000 calls of 64 goroutines that come at once when
// the time is over, as many pass as there are probes, and no one more.
func TestHalfOpenEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := usual
		o.Probes = 7
		b := breaker.New(o, nil)
		calls(b, 20, breaker.Failure)
		_, left, _ := b.Ask()
		time.Sleep(left - 1) // a nanosecond more, and it is half open
		var passed atomic.Int64
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				time.Sleep(time.Nanosecond)
				for range 1_000_000 / 64 {
					if _, _, ok := b.Ask(); ok {
						passed.Add(1)
					}
				}
			})
		}
		all.Wait()
		if n := passed.Load(); n != 7 {
			t.Errorf("%d calls passed, want 7", n)
		}
	})
}

// model is a Breaker by the letter of the decision, for one goroutine.
type model struct {
	o         breaker.Options
	state     breaker.State
	row       uint32
	ended     []ended
	out, good uint32
}

type ended struct {
	at     time.Time
	failed bool
}

func (m *model) tell(isProbe bool, r breaker.Result) {
	if isProbe {
		m.out--
		switch r {
		case breaker.Failure:
			m.state, m.good = breaker.Open, 0
		case breaker.Success:
			if m.good++; m.good == m.o.Probes {
				*m = model{o: m.o}
			}
		}
		return
	}
	if r == breaker.Nothing {
		return
	}
	m.ended = append(m.ended, ended{time.Now(), r == breaker.Failure})
	if r == breaker.Success {
		m.row = 0
		return
	}
	m.row++
	calls, failures := uint32(0), uint32(0)
	width := m.o.Window / 10
	for _, e := range m.ended {
		// The clock of the buckets begins with the process, so that their edges are unknown
		// here; the test's times are whole buckets apart.
		if time.Since(e.at) < 10*width {
			calls++
			if e.failed {
				failures++
			}
		}
	}
	if m.o.Consecutive > 0 && m.row >= m.o.Consecutive || calls >= m.o.MinCalls && failures*100 >= calls*m.o.Percent {
		*m = model{o: m.o, state: breaker.Open}
	}
}

// TestModel compares a Breaker with its model over random calls, one after another.
func TestModel(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			o := breaker.Options{
				Percent: uint32(20 + random.IntN(70)), MinCalls: uint32(1 + random.IntN(10)), Window: 10 * time.Second,
				OpenFor: 3 * time.Second, Probes: uint32(1 + random.IntN(3)), Consecutive: uint32(random.IntN(5)),
			}
			b, m := breaker.New(o, nil), &model{o: o}
			for n := range 2000 {
				permit, left, ok := b.Ask()
				if m.state == breaker.Open {
					if ok {
						t.Fatalf("call %d passes though it is open", n)
					}
					time.Sleep((left + time.Second - 1).Truncate(time.Second)) // whole seconds, which are whole buckets
					if permit, _, ok = b.Ask(); !ok {
						t.Fatalf("call %d is refused though open_for is over", n)
					}
					m.state = breaker.HalfOpen
				}
				if !ok {
					t.Fatalf("call %d is refused, the model is %v", n, m.state)
				}
				isProbe := m.state == breaker.HalfOpen
				if isProbe {
					m.out++
				}
				r := breaker.Result(random.IntN(3))
				b.Tell(permit, r)
				m.tell(isProbe, r)
				if got := b.Status().State; got != m.state {
					t.Fatalf("after call %d it is %v, the model %v (%+v)", n, got, m.state, o)
				}
				time.Sleep(time.Duration(random.IntN(3)) * time.Second)
			}
		})
	}
}

// TestConcurrent calls from many goroutines, for the race detector: at the end nothing
// is under way, and it closes.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := usual
		o.OpenFor, o.Probes = time.Millisecond, 3
		b := breaker.New(o, nil)
		var all sync.WaitGroup
		for g := range 16 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(g), 2))
				for range 2000 {
					if permit, left, ok := b.Ask(); ok {
						time.Sleep(time.Duration(random.IntN(1000)))
						b.Tell(permit, breaker.Result(random.IntN(3)))
					} else {
						time.Sleep(left / 100)
					}
				}
			})
		}
		all.Wait()
		for range 100 {
			if permit, left, ok := b.Ask(); ok {
				b.Tell(permit, breaker.Success)
			} else {
				time.Sleep(left)
			}
		}
		if s := b.Status().State; s != breaker.Closed {
			t.Errorf("it ends as %v", s)
		}
	})
}

// TestAllocations: a closed Breaker takes no memory.
func TestAllocations(t *testing.T) {
	b := breaker.New(usual, nil)
	if n := testing.AllocsPerRun(1000, func() { call(b, breaker.Success) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAsk(b *testing.B) {
	c := breaker.New(usual, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, ok := c.Ask(); !ok {
				b.Error("refused")
			}
		}
	})
}

func BenchmarkAskAndTell(b *testing.B) {
	c := breaker.New(usual, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			call(c, breaker.Success)
		}
	})
}
