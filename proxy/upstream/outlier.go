package upstream

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/proxy/breaker"
)

// Outlier says when an endpoint is ejected: it gets no calls for a while, because too
// many have failed (Traffic 108). It is comparable, and all its fields are set.
type Outlier struct {
	// Consecutive is how many faults in a row eject it.
	Consecutive uint32
	// FailurePercent is the share of faults among at least MinCalls calls within Interval
	// that ejects it.
	FailurePercent, MinCalls uint32
	Interval                 time.Duration
	// BaseEjection is for how long, times how often it was ejected.
	BaseEjection time.Duration
	// MaxEjectionPercent is the largest share of the endpoints that are ejected at once.
	MaxEjectionPercent uint32
}

const (
	// maxEjection bounds how long an endpoint is ejected.
	maxEjection = 5 * time.Minute
	// trialPatience is after which time a trial call without a result, such as a stream
	// that waits for its first message, is followed by another one.
	trialPatience = 10 * time.Second
	// latencyShare is how much of the average a call's latency is, as a divisor.
	latencyShare = 8
)

// errNoneUsable is why a backend that fails closed takes no calls.
var errNoneUsable = errors.New("the backend cannot be used: too few of its endpoints are well")

// Verdict is what the end of an attempt says of its endpoint.
type Verdict uint8

// The verdicts (Traffic 99, 100).
const (
	NoVerdict Verdict = iota // it says nothing
	Sound                    // the endpoint answered, whatever it said
	Faulty                   // the connection broke, no answer came in time, or UNAVAILABLE
)

// record is what became of the calls to an endpoint.
type record struct {
	latency       atomic.Int64 // moving average, in nanoseconds; 0: no call has ended
	calls, faults atomic.Uint64
	row           atomic.Uint32          // faults in a row
	trouble       atomic.Pointer[string] // what the last fault was, for people; nil: nothing is known
	answered      atomic.Int64           // when a call was answered last, by breaker.Now
	heeded        atomic.Bool            // an attempt that lost a race runs on, to find out whether it is answered
	window        breaker.Window         // used where there is an Outlier
	trial         atomic.Int64           // when an ejected one gets the next trial call, by breaker.Now

	// guarded by the mu of the Conn
	ejections uint64 // in all
	times     int64  // ejected, less one for each quiet interval
	back      int64  // when it came back last, by breaker.Now
}

// newRecord prepares the record of an endpoint that is new.
func (c *Conn) newRecord(e *Endpoint) {
	if o := c.target.Outlier; o != (Outlier{}) {
		e.record.window.Span(o.Interval)
	}
}

// Judge takes down what the end of the last attempt of a call says of its endpoint. It
// takes no lock unless that is ejected or comes back.
func (c *Conn) Judge(t *Turn, v Verdict) {
	e := t.last
	if e == nil {
		return
	}
	if v == NoVerdict {
		t.dropTrial()
		return
	}
	trial := t.trial == e
	t.trial = nil
	r, at := &e.record, breaker.Now()
	r.calls.Add(1)
	watched := c.target.Outlier != (Outlier{})
	if watched {
		r.window.Add(at, v == Faulty)
	}
	if v == Sound {
		r.answered.Store(at)
		r.took(at - t.began)
		if r.row.Load() != 0 {
			r.row.Store(0)
		}
		if trial {
			c.reinstate(e)
		}
		return
	}
	r.blame(t.fault)
	r.faults.Add(1)
	row := r.row.Add(1)
	if e.plain {
		c.resolveAgain() // no connection of ours says that it is away
	}
	if watched && (trial || c.target.Outlier.exceeded(r, at, row)) {
		c.eject(e, trial)
	}
}

// took adds a call's time to the average. Calls that end at once may overwrite each
// other's, which an average can bear.
func (r *record) took(d int64) {
	before := r.latency.Load()
	if before == 0 {
		r.latency.Store(max(d, 1))
		return
	}
	r.latency.Store(max(before+(d-before)/latencyShare, 1))
}

// exceeded reports whether an endpoint is to be ejected after so many faults in a row.
func (o *Outlier) exceeded(r *record, at int64, row uint32) bool {
	if row%o.Consecutive == 0 {
		return true
	}
	calls, faults := r.window.Sum(at)
	return calls >= o.MinCalls && uint64(faults)*100 >= uint64(calls)*uint64(o.FailurePercent)
}

// eject takes an endpoint out for a while. again is set where its trial call failed.
func (c *Conn) eject(e *Endpoint, again bool) {
	c.mu.Lock()
	if ejected := e.bars&barEjected != 0; ejected != again || !again && !c.mayEject(e) {
		c.mu.Unlock()
		return
	}
	r, o, at := &e.record, &c.target.Outlier, breaker.Now()
	if !again {
		r.times = max(0, r.times-max(0, at-r.back)/int64(o.Interval))
	}
	r.times++
	r.ejections++
	pause := min(time.Duration(r.times)*o.BaseEjection, maxEjection)
	// Longer alone: the pauses of ten minutes are six at most.
	pause = time.Duration(float64(pause) * (1 + 0.1*rand.Float64()))
	r.trial.Store(at + int64(pause))
	row, times := r.row.Load(), r.times
	calls, faults := r.window.Sum(at)
	e.bars |= barEjected
	c.publish()
	c.mu.Unlock()
	c.log.Log(c.ctx, slog.LevelWarn, "an endpoint is ejected: too many of its calls fail", "target", c.target.Name(), "endpoint", e.addresses[0],
		"for", pause.Round(time.Millisecond).String(), "times", times, "in_a_row", row, "calls", calls, "faults", faults)
	c.report()
}

// mayEject reports whether one endpoint more may be ejected (Traffic 109). c.mu is held.
func (c *Conn) mayEject(e *Endpoint) bool {
	ejected, others := 0, false
	for _, other := range c.endpoints {
		if other.bars&barEjected != 0 {
			ejected++
		}
		others = others || other != e && other.bars == 0 && other.connected()
	}
	return others && slices.Contains(c.endpoints, e) &&
		(ejected+1)*100 <= int(c.target.Outlier.MaxEjectionPercent)*len(c.endpoints)
}

// reinstate has an endpoint get calls again whose trial call was answered.
func (c *Conn) reinstate(e *Endpoint) {
	c.mu.Lock()
	if e.bars&barEjected == 0 {
		c.mu.Unlock()
		return
	}
	e.record.back = breaker.Now()
	e.record.window.Reset()
	e.bars &^= barEjected
	c.publish()
	c.mu.Unlock()
	c.log.Log(c.ctx, slog.LevelInfo, "an ejected endpoint answers again", "target", c.target.Name(), "endpoint", e.addresses[0])
	c.report()
}

// trialsOf returns the endpoints that are ejected and nothing else.
func trialsOf(connected []*Endpoint) (trials []*Endpoint) {
	for _, e := range connected {
		if e.bars == barEjected {
			trials = append(trials, e)
		}
	}
	return trials
}

// trial returns an ejected endpoint that this call is to try; nil for none. One call at
// a time does.
func (c *choice) trial(t *Turn) *Endpoint {
	if len(c.trials) == 0 {
		return nil
	}
	at := breaker.Now()
	for _, e := range c.trials {
		next := e.record.trial.Load()
		if next <= at && !e.Full() && !slices.Contains(t.tried, e) && e.record.trial.CompareAndSwap(next, at+int64(trialPatience)) {
			t.trial = e
			return e
		}
	}
	return nil
}

// dropTrial leaves the trial to another call.
func (t *Turn) dropTrial() {
	if t.trial != nil {
		t.trial.record.trial.Store(breaker.Now())
		t.trial = nil
	}
}

// Overflow reports whether a call found no room, so that its error says nothing of
// the backend (Traffic 100).
func Overflow(err error) bool { return err == errNoRoom || err == errLongLine || err == errManyWait }
