package upstream

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// outlierConn is a Conn with so many endpoints, which are ejected as by outlier: {}.
func outlierConn(t *testing.T, n int) *Conn {
	c := slowConn(t, "round_robin")
	c.log = slog.New(slog.DiscardHandler)
	c.target.SlowStart = 0
	c.target.Outlier = Outlier{Consecutive: 5, FailurePercent: 50, MinCalls: 20, Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjectionPercent: 50}
	for range n {
		e := c.join(t)
		c.newRecord(e)
		e.addresses = []string{"192.0.2.1:1"}
	}
	return c
}

// call makes one call, which ends with a verdict on the endpoint that it is made at.
func (c *Conn) call(verdict func(*Endpoint) Verdict) *Endpoint {
	turn := new(Turn)
	e := c.choice.Load().trial(turn)
	if e == nil {
		e = c.choice.Load().pick(turn.place, nil)
	}
	turn.goes(e)
	c.Judge(turn, verdict(e))
	return e
}

// TestNoFlapping: Traffic 108: an endpoint that is down for ten minutes is ejected six times
// at most, and back soon after it is well again.
func TestNoFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := outlierConn(t, 4)
		defer c.cancel()
		bad, down := c.endpoints[0], true
		verdict := func(e *Endpoint) Verdict {
			if e == bad && down {
				return Faulty
			}
			return Sound
		}
		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(50 * time.Millisecond) {
			c.call(verdict)
		}
		if n := bad.record.ejections; n < 4 || n > 6 {
			t.Errorf("%d ejections in ten minutes, want 4 to 6", n)
		}
		if got := bad.record.faults.Load(); got != 5+bad.record.ejections-1 {
			t.Errorf("%d calls saw it in %d ejections", got, bad.record.ejections)
		}
		down = false
		for began := time.Now(); bad.bars != 0; time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > maxEjection*11/10 {
				t.Fatal("it does not come back")
			}
			c.call(verdict)
		}
		if len(c.choice.Load().endpoints) != 4 || len(c.choice.Load().trials) != 0 {
			t.Error("it is back and gets no calls")
		}
	})
}

// TestFirstEjection: Traffic 108: the first one is over after 30 s, give or take a tenth.
func TestFirstEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := outlierConn(t, 2)
		defer c.cancel()
		bad, began := c.endpoints[0], time.Now()
		for bad.record.ejections == 0 {
			c.call(func(e *Endpoint) Verdict {
				if e == bad {
					return Faulty
				}
				return Sound
			})
		}
		for bad.bars != 0 {
			time.Sleep(100 * time.Millisecond)
			c.call(func(*Endpoint) Verdict { return Sound })
		}
		if took := time.Since(began); took < 27*time.Second || took > 34*time.Second {
			t.Errorf("it came back after %v", took)
		}
	})
}

// TestOneTrial: Traffic 109: one call at a time tries an ejected endpoint; one that says
// nothing leaves it to the next, and one that never ends does after a while.
func TestOneTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := outlierConn(t, 2)
		defer c.cancel()
		bad := c.endpoints[0]
		c.eject(bad, false)
		time.Sleep(34 * time.Second)
		tries := func() *Turn {
			turn := new(Turn)
			turn.goes(c.choice.Load().trial(turn))
			return turn
		}
		first, second := tries(), tries()
		if first.last != bad || second.last != nil {
			t.Fatalf("%v and %v try it", first.last, second.last)
		}
		c.Judge(first, NoVerdict)
		if tries().last != bad {
			t.Error("a call that says nothing keeps the trial")
		}
		time.Sleep(trialPatience)
		if tries().last != bad {
			t.Error("a call without an end keeps the trial")
		}
	})
}

// TestEjectionLimit: Traffic 109: half of the endpoints are ejected at most, and never the
// only one.
func TestEjectionLimit(t *testing.T) {
	for n, want := range map[int]int{1: 0, 2: 1, 3: 1, 4: 2, 5: 2} {
		synctest.Test(t, func(t *testing.T) {
			c := outlierConn(t, n)
			defer c.cancel()
			for range 500 {
				c.call(func(*Endpoint) Verdict { return Faulty })
			}
			if got := len(c.choice.Load().trials); got != want {
				t.Errorf("of %d endpoints %d are ejected, want %d", n, got, want)
			}
		})
	}
}

// TestShareOfFaults: Traffic 108: half of at least 20 calls within 10 s eject an endpoint,
// though no five faults follow each other.
func TestShareOfFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := outlierConn(t, 2)
		defer c.cancel()
		bad, calls := c.endpoints[0], 0
		for calls < 20 {
			if bad.bars != 0 {
				t.Fatalf("ejected after %d calls", calls)
			}
			c.call(func(e *Endpoint) Verdict {
				if e != bad {
					return Sound
				}
				if calls++; calls%2 == 0 {
					return Faulty
				}
				return Sound
			})
		}
		if bad.bars != barEjected {
			t.Error("not ejected")
		}
	})
}
