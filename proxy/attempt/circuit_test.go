package attempt_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/upstream"
)

var errOpen = status.Error(codes.Unavailable, "it is open")

// circuit is what circuit_breaker: {} means, but opens after so many failures in a row.
func circuit(row uint32) *attempt.Circuit {
	o := breaker.Options{Consecutive: row, Percent: 50, MinCalls: 1000, Window: 10 * time.Second, OpenFor: time.Hour, Probes: 1}
	return &attempt.Circuit{
		Breaker: breaker.New(o, nil), Refusal: func(time.Duration) error { return errOpen },
		Codes: []codes.Code{codes.Unknown, codes.DeadlineExceeded, codes.Internal, codes.DataLoss},
	}
}

// TestBlame: Traffic 99, 100 and 105: which ends of an attempt are the endpoint's fault,
// which the method's, and which say nothing.
func TestBlame(t *testing.T) {
	deadline := func(cause error) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadlineCause(ctx, time.Now().Add(100*time.Millisecond), cause)
		}
	}
	cancelled := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(50*time.Millisecond, cancel)
		return ctx, cancel
	}
	type blame struct{ calls, faults, counted, failures int }
	for _, test := range []struct {
		name   string
		step   *step
		within func(context.Context) (context.Context, context.CancelFunc)
		perTry time.Duration
		want   blame
	}{
		{name: "OK", want: blame{1, 0, 1, 0}},
		{name: "UNAVAILABLE", step: &step{code: codes.Unavailable}, want: blame{1, 1, 1, 1}},
		{name: "INTERNAL", step: &step{code: codes.Internal}, want: blame{1, 0, 1, 1}},
		{name: "UNKNOWN", step: &step{code: codes.Unknown}, want: blame{1, 0, 1, 1}},
		{name: "DATA_LOSS", step: &step{code: codes.DataLoss}, want: blame{1, 0, 1, 1}},
		{name: "the backend's DEADLINE_EXCEEDED", step: &step{code: codes.DeadlineExceeded}, want: blame{1, 0, 1, 1}},
		{name: "NOT_FOUND", step: &step{code: codes.NotFound}, want: blame{1, 0, 1, 0}},
		{name: "RESOURCE_EXHAUSTED", step: &step{code: codes.ResourceExhausted}, want: blame{1, 0, 1, 0}},
		{name: "the client goes away", step: &step{when: never}, within: cancelled, want: blame{}},
		{name: "the client's own time is over", step: &step{when: never}, within: deadline(proxy.ErrClientTime), want: blame{}},
		{name: "the gateway's time is over", step: &step{when: never}, within: deadline(nil), want: blame{1, 1, 1, 1}},
		{name: "per_try_timeout", step: &step{when: never}, perTry: 50 * time.Millisecond, want: blame{1, 1, 1, 1}},
	} {
		for _, kind := range []string{"unary", "stream"} {
			t.Run(kind+": "+test.name, func(t *testing.T) {
				server := &scripted{}
				if test.step != nil {
					server.script = []step{*test.step}
				}
				conn := connect(t, server.start(t))
				c := circuit(0)
				g := attempt.NewGRPC(conn, 1<<20).Breaking(c)
				if test.perTry > 0 {
					r := usual()
					r.Attempts, r.PerTry = 1, test.perTry
					g = g.Retrying(&r)
				}
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if test.within != nil {
					ctx, cancel = test.within(ctx)
				}
				defer cancel()
				if kind == "unary" {
					reply, _ := g.Call(ctx, "/test.Test/Unary", nil, message("x"))
					reply.Message.Free()
				} else {
					_, _, _ = callStream(ctx, g)
				}
				got := blame{}
				for _, r := range conn.Records() {
					got.calls, got.faults = int(r.Calls), int(r.Faults)
					if (r.Latency > 0) != (got.calls > got.faults) {
						t.Errorf("the latency is %v", r.Latency)
					}
				}
				s := c.Breaker.Status()
				if got.counted, got.failures = int(s.Calls), int(s.Failures); got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
			})
		}
	}
}

// TestBlameOfConnections: Traffic 99: without a connection, and with one that breaks in the
// middle of a call.
func TestBlameOfConnections(t *testing.T) {
	c := circuit(0)
	g := attempt.NewGRPC(connect(t, loopback.Address(t)), 1<<20).Breaking(c)
	_, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
	if s := c.Breaker.Status(); status.Code(err) != codes.Unavailable || s.Failures != 1 {
		t.Errorf("without a connection: %v, %+v", err, s)
	}
}

// TestStreamsAfterTheirBeginning: Traffic 105: a stream that has begun is a success,
// whatever comes after.
func TestStreamsAfterTheirBeginning(t *testing.T) {
	server := &scripted{script: []step{{code: codes.Unavailable, when: afterMessage}, {code: codes.Unavailable, when: afterHeader}}}
	conn := connect(t, server.start(t))
	c := circuit(0)
	g := attempt.NewGRPC(conn, 1<<20).Breaking(c)
	for range 2 {
		if got, _, _ := callStream(t.Context(), g); got.code != codes.Unavailable {
			t.Errorf("it ends with %v", got.code)
		}
	}
	if s := c.Breaker.Status(); s.Calls != 2 || s.Failures != 0 {
		t.Errorf("%+v, want two successes", s)
	}
}

// TestHedgedStreamsAfterTheirBeginning: Traffic 105: so is a hedged one that fails before
// its first message, at once after its header; it is tried again all the same.
func TestHedgedStreamsAfterTheirBeginning(t *testing.T) {
	server := &scripted{script: []step{{code: codes.Unavailable, when: afterHeader}, {code: codes.Unavailable, when: afterHeader}, {code: codes.Unavailable}}}
	c := circuit(0)
	r := usual()
	r.Hedge = &attempt.Hedge{After: time.Hour}
	r.Attempts = 4
	got, tries, err := callStream(t.Context(), attempt.NewGRPC(connectAll(t, server, 2), 1<<20).Retrying(&r).Breaking(c))
	if got.text != "x" || tries.Attempts != 4 {
		t.Errorf("%+v %+v %v", got, tries, err)
	}
	if s := c.Breaker.Status(); s.Calls != 4 || s.Failures != 1 {
		t.Errorf("%+v, want a failure for the attempt that did not send its header", s)
	}
}

// TestOpenCircuit: Traffic 102 and 104: an open breaker refuses a call before it is sent,
// and ends the attempts of one with its last status.
func TestOpenCircuit(t *testing.T) {
	server := &scripted{script: slices.Repeat([]step{{code: codes.Unavailable}}, 10)}
	c, r := circuit(2), usual()
	r.Attempts = 5
	g := backend(t, server.start(t), &r).Breaking(c)
	reply, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
	if status.Convert(err).Message() != "as the script says" || reply.Tries.Attempts != 2 || reply.Tries.Denied != "circuit" {
		t.Errorf("it ends with %v after %+v", err, reply.Tries)
	}
	if _, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x")); !errors.Is(err, errOpen) {
		t.Errorf("the next one with %v", err)
	}
	if _, err := g.Open(t.Context(), "/test.Test/Stream", nil, proxy.Shape{ServerStreams: true}); !errors.Is(err, errOpen) {
		t.Errorf("a stream with %v", err)
	}
	hedging := usual()
	hedging.Hedge = &attempt.Hedge{After: time.Hour}
	if _, err := g.Retrying(&hedging).Call(t.Context(), "/test.Test/Unary", nil, message("x")); !errors.Is(err, errOpen) {
		t.Errorf("one with hedges with %v", err)
	}
	if n := len(server.arrivals()); n != 2 {
		t.Errorf("%d calls arrived, want 2", n)
	}
}

// TestFallback: Traffic 107: while the breaker is open another backend answers, once.
func TestFallback(t *testing.T) {
	server, other := &scripted{}, &scripted{script: []step{{}, {code: codes.Unavailable}}}
	other.script = []step{{code: codes.Unavailable}}
	c, r := circuit(1), usual()
	c.Fallback = attempt.NewGRPC(connect(t, other.start(t)), 1<<20)
	c.Breaker.Set(breaker.OpenByHand)
	g := backend(t, server.start(t), &r).Breaking(c)
	if _, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x")); status.Code(err) != codes.Unavailable {
		t.Errorf("the other one's status is %v", err)
	}
	reply, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
	if text := textOf(reply.Message); err != nil || text != "x" {
		t.Errorf("%q, %v", text, err)
	}
	reply.Message.Free()
	if got, _, _ := callStream(t.Context(), g); got.text != "x" {
		t.Errorf("a stream: %+v", got)
	}
	if n, m := len(server.arrivals()), len(other.arrivals()); n != 0 || m != 3 {
		t.Errorf("%d calls arrived, and %d at the other one; want 0 and 3", n, m)
	}
}

// TestProbesArrive: Traffic 103: of 1,000 callers at the edge exactly one probe arrives, by
// calls, streams and calls with hedges.
func TestProbesArrive(t *testing.T) {
	for _, kind := range []string{"unary", "stream", "hedged"} {
		t.Run(kind, func(t *testing.T) {
			server := &scripted{script: []step{{when: never}}}
			conn := connect(t, server.start(t))
			poll.Until(t, "a connection", func() bool { return conn.Ready() == 1 })
			o := breaker.Options{Consecutive: 1, Window: time.Second, OpenFor: time.Nanosecond, Probes: 1}
			c := circuit(1)
			c.Breaker = breaker.New(o, nil)
			permit, _, _ := c.Breaker.Ask()
			c.Breaker.Tell(permit, breaker.Failure)
			g := attempt.NewGRPC(conn, 1<<20).Breaking(c)
			if kind == "hedged" {
				r := usual()
				r.Hedge = &attempt.Hedge{After: time.Hour}
				g = g.Retrying(&r)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var refused atomic.Int64
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					var err error
					if kind == "stream" {
						_, _, err = callStream(ctx, g)
					} else {
						_, err = g.Call(ctx, "/test.Test/Unary", nil, message("x"))
					}
					if errors.Is(err, errOpen) {
						refused.Add(1)
					}
				})
			}
			poll.Until(t, "all others to be refused", func() bool { return refused.Load() == 999 })
			poll.Until(t, "the probe", func() bool { return len(server.arrivals()) == 1 })
			cancel()
			all.Wait()
			if reply, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x")); err != nil {
				t.Errorf("a cancelled probe keeps its place: %v", err)
			} else {
				reply.Message.Free()
			}
			if s := c.Breaker.Status().State; s != breaker.Closed || len(server.arrivals()) != 2 {
				t.Errorf("it is %v after %d arrivals", s, len(server.arrivals()))
			}
		})
	}
}

// outlier is what outlier: {} means.
var outlier = upstream.Outlier{Consecutive: 5, FailurePercent: 50, MinCalls: 20, Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjectionPercent: 50}

// connectOutlier connects to endpoints that are ejected.
func connectOutlier(t *testing.T, change func(*upstream.Target), addresses ...string) *upstream.Conn {
	t.Helper()
	target := upstream.Target{Address: names(t, addresses...), Outlier: outlier}
	if change != nil {
		change(&target)
	}
	conn, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	poll.Until(t, "all endpoints to be connected", func() bool { return conn.Ready() == len(addresses) })
	return conn
}

// TestBlackHole: Traffic 108: one of four backends answers nothing; at a time limit for
// each attempt, at most 25 calls see it, and none fails.
func TestBlackHole(t *testing.T) {
	hole, sound := &scripted{script: slices.Repeat([]step{{when: never}}, 10000)}, &scripted{}
	address := hole.start(t)
	conn := connectOutlier(t, nil, address, sound.start(t), sound.start(t), sound.start(t))
	r := usual()
	r.PerTry = 300 * time.Millisecond // a busy machine must not take the others for it
	g := attempt.NewGRPC(conn, 1<<20).Retrying(&r)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 250 {
				reply, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
				if err != nil {
					t.Error(err)
				}
				reply.Message.Free()
			}
		})
	}
	all.Wait()
	if n := len(hole.arrivals()); n < 5 || n > 25 {
		t.Errorf("%d calls saw the black hole, want 5 to 25", n)
	}
	if s := conn.Records()[address]; !s.Ejected {
		t.Errorf("it is %+v", s)
	}
}

// TestOneRefuses: Traffic 108: one of three backends refuses everything, and no idempotent
// call fails.
func TestOneRefuses(t *testing.T) {
	bad, sound := &scripted{script: slices.Repeat([]step{{code: codes.Unavailable}}, 10000)}, &scripted{}
	conn := connectOutlier(t, nil, bad.start(t), sound.start(t), sound.start(t))
	r := usual()
	g := attempt.NewGRPC(conn, 1<<20).Retrying(&r)
	for i := range 2000 {
		reply, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		reply.Message.Free()
	}
	if n := len(bad.arrivals()); n != 5 {
		t.Errorf("%d calls saw it, want 5", n)
	}
}

// TestTrialCalls: Traffic 109: an ejected endpoint gets one call at a time when its time is
// over, which is made elsewhere where it fails, and is ejected for longer then; once one is
// answered it gets all its calls again.
func TestTrialCalls(t *testing.T) {
	bad, sound := &scripted{script: slices.Repeat([]step{{code: codes.Unavailable}}, 7)}, &scripted{}
	address := bad.start(t)
	conn := connectOutlier(t, func(target *upstream.Target) { target.Outlier.BaseEjection = 20 * time.Millisecond }, address, sound.start(t))
	r := usual()
	g := attempt.NewGRPC(conn, 1<<20).Retrying(&r)
	poll.Until(t, "it to be back", func() bool {
		reply, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
		if err != nil {
			t.Fatal(err)
		}
		reply.Message.Free()
		return len(bad.arrivals()) > 7
	})
	if s := conn.Records()[address]; s.Ejections != 3 || s.Ejected || s.Row != 0 {
		t.Errorf("it is %+v, want three ejections", s)
	}
}

// TestPanic: Traffic 110: where no endpoint is left all are used, or none of a backend
// that fails closed.
func TestPanic(t *testing.T) {
	for _, closed := range []bool{false, true} {
		server := &scripted{}
		one, two := server.start(t), server.start(t)
		conn := connectOutlier(t, func(target *upstream.Target) { target.FailClosed = closed }, one, two)
		g := attempt.NewGRPC(conn, 1<<20)
		for i, address := range []string{one, two} {
			if conn.Panics() {
				t.Errorf("it panics with %d endpoints taken out", i)
			}
			if err := conn.TakeOut(address, true); err != nil {
				t.Fatal(err)
			}
		}
		reply, err := g.Call(t.Context(), "/test.Test/Unary", nil, message("x"))
		if !conn.Panics() || (status.Code(err) == codes.Unavailable) != closed || closed && err.Error() != "rpc error: code = Unavailable desc = the backend cannot be used: too few of its endpoints are well" {
			t.Errorf("fail closed %v: %v, panics %v", closed, err, conn.Panics())
		}
		reply.Message.Free()
		if err := conn.TakeOut(two, false); err != nil || conn.Panics() || conn.Ready() != 1 {
			t.Errorf("put back: %v, panics %v, %d ready", err, conn.Panics(), conn.Ready())
		}
		if conn.TakeOut("192.0.2.1:1", true) == nil {
			t.Error("an endpoint that there is not is taken out")
		}
	}
}

// TestEjectionOverhead: a Circuit and an Outlier cost a call no memory.
func TestEjectionOverhead(t *testing.T) {
	server := &scripted{}
	address := server.start(t)
	measure := func(g *attempt.GRPC) float64 {
		return testing.AllocsPerRun(500, func() {
			reply, err := g.Call(context.Background(), "/test.Test/Unary", nil, message("x"))
			if err != nil {
				t.Error(err)
			}
			reply.Message.Free()
		})
	}
	plain := measure(attempt.NewGRPC(connectOutlier(t, func(target *upstream.Target) { target.Outlier = upstream.Outlier{} }, address), 1<<20))
	with := measure(attempt.NewGRPC(connectOutlier(t, nil, address), 1<<20).Breaking(circuit(5)))
	if with > plain+1 { // the server's own vary
		t.Errorf("%v allocations, %v without", with, plain)
	}
}
