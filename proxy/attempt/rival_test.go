package attempt_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// callKinds are calls of one request.
var callKinds = map[string]func(context.Context, *attempt.GRPC) (outcome, proxy.Tries, error){"unary": callUnary, "stream": callStream}

// TestHungIsEjected: Traffic 99: an endpoint that answers nothing is ejected by the time that
// the method has, without a retry, and each trial call that it leaves unanswered ejects it again.
func TestHungIsEjected(t *testing.T) {
	for kind, call := range callKinds {
		t.Run(kind, func(t *testing.T) {
			hung, sound := &scripted{script: slices.Repeat([]step{{when: never}}, 10000)}, &scripted{}
			address := hung.start(t)
			conn := connectOutlier(t, func(target *upstream.Target) {
				target.Outlier.Consecutive, target.Outlier.BaseEjection = 3, 20*time.Millisecond
			}, address, sound.start(t), sound.start(t))
			g := attempt.NewGRPC(conn, 1<<20)
			late := 0
			poll.Until(t, "a trial call to eject it again", func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
				defer cancel()
				if got, _, err := call(ctx, g); got.code != codes.OK {
					late++
					if got.code != codes.DeadlineExceeded {
						t.Fatal(err)
					}
				}
				return conn.Records()[address].Ejections >= 2
			})
			if late < 4 {
				t.Errorf("%d calls were late, want three and a trial", late)
			}
		})
	}
}

// TestLittleTimeLeft: Traffic 99: the end of the method's time says nothing of an endpoint
// that had less of it than its calls take.
func TestLittleTimeLeft(t *testing.T) {
	server := &scripted{script: []step{{when: released}, {when: never}}, release: make(chan struct{})}
	address := server.start(t)
	conn := connectOutlier(t, nil, address)
	g := attempt.NewGRPC(conn, 1<<20)
	time.AfterFunc(400*time.Millisecond, func() { close(server.release) })
	if got, _, err := callUnary(t.Context(), g); got.code != codes.OK {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got, _, err := callUnary(ctx, g); got.code != codes.DeadlineExceeded {
		t.Fatal(err)
	}
	if r := conn.Records()[address]; r.Calls != 1 || r.Faults != 0 {
		t.Errorf("%+v, want the first call alone", r)
	}
}

// TestHungLoses: Traffic 100: an endpoint that answers nothing is ejected though another
// one answers each call before the attempt there ends: by retry.per_try_timeout, or by the
// time of the call.
func TestHungLoses(t *testing.T) {
	for kind, call := range callKinds {
		for name, bound := range map[string]func(r *attempt.Retry) time.Duration{
			"per_try_timeout": func(r *attempt.Retry) time.Duration { r.PerTry = 300 * time.Millisecond; return time.Minute },
			"timeout":         func(*attempt.Retry) time.Duration { return 300 * time.Millisecond },
		} {
			t.Run(kind+": "+name, func(t *testing.T) {
				hung, sound := &scripted{script: slices.Repeat([]step{{when: never}}, 100000)}, &scripted{}
				address := hung.start(t)
				conn := connectOutlier(t, func(target *upstream.Target) { target.Outlier.Consecutive, target.LoadBalancing = 2, "round_robin" }, address, sound.start(t), sound.start(t))
				r := usual()
				r.Attempts, r.BudgetPercent, r.Hedge = 2, 100, &attempt.Hedge{After: 5 * time.Millisecond}
				timeout := bound(&r)
				g := attempt.NewGRPC(conn, 1<<20).Retrying(&r)
				poll.Until(t, "it to be ejected", func() bool {
					ctx, cancel := context.WithTimeout(t.Context(), timeout)
					defer cancel()
					_, _, _ = call(ctx, g) // a busy machine may have one fail
					return conn.Records()[address].Ejected
				})
				poll.Until(t, "attempts that lost to end", func() bool { return hung.under.Load() == 0 })
			})
		}
	}
}

// TestSlowLoses: Traffic 100: the attempt at an endpoint that is merely slow runs on when it
// has lost, one at a time, and says how slow it is. Others are cancelled, and say that it
// takes longer than they did.
func TestSlowLoses(t *testing.T) {
	for kind, call := range callKinds {
		t.Run(kind, func(t *testing.T) {
			slow, sound := &scripted{script: slices.Repeat([]step{{when: released}}, 100000), release: make(chan struct{})}, &scripted{}
			address := slow.start(t)
			conn := connectOutlier(t, func(target *upstream.Target) { target.Outlier.Consecutive, target.LoadBalancing = 1, "round_robin" }, address, sound.start(t), sound.start(t))
			r := usual()
			r.Attempts, r.BudgetPercent, r.Hedge = 2, 100, &attempt.Hedge{After: 5 * time.Millisecond}
			g := attempt.NewGRPC(conn, 1<<20).Retrying(&r)
			poll.Until(t, "an attempt to be cancelled", func() bool {
				if got, _, err := call(t.Context(), g); got.code != codes.OK {
					t.Fatal(err)
				}
				return len(slow.arrivals()) >= 2 && conn.Records()[address].Latency >= 5*time.Millisecond
			})
			poll.Until(t, "one to run on", func() bool { return slow.under.Load() == 1 })
			if r := conn.Records()[address]; r.Calls != 0 || r.Ejected {
				t.Errorf("%+v, want no call", r)
			}
			close(slow.release)
			poll.Until(t, "it to be answered", func() bool { return conn.Records()[address].Calls == 1 })
			if r := conn.Records()[address]; r.Faults != 0 {
				t.Errorf("%+v, want no fault", r)
			}
		})
	}
}

// TestLostWithoutEjection: Traffic 100: where no endpoint is ejected, what lost is cancelled
// at once, and the latency hears of it.
func TestLostWithoutEjection(t *testing.T) {
	server := &scripted{script: []step{{when: never}}}
	conn := connectAll(t, server, 2)
	r := usual()
	r.Attempts, r.Hedge = 2, &attempt.Hedge{After: 20 * time.Millisecond}
	if got, _, err := callUnary(t.Context(), attempt.NewGRPC(conn, 1<<20).Retrying(&r)); got.code != codes.OK {
		t.Fatal(status.Convert(err))
	}
	poll.Until(t, "both to have a latency", func() bool {
		known, answered := 0, 0
		for _, r := range conn.Records() {
			if r.Latency > 0 {
				known++
			}
			answered += int(r.Calls)
		}
		return known == 2 && answered == 1
	})
}
