package concurrency

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
)

// streamBench compiles for a method that streams, which takes places at admission.
func streamBench(t testing.TB) *policytest.Bench {
	b := policytest.NewBench(t, policy.StateOptions{}, Streams(), Calls())
	b.Method = policytest.TestMethod("StreamingOutputCall")
	return b
}

func TestConcurrencyBoundsWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streamBench(t).Set(`concurrency { max: 3 queue: 100 queue_timeout { seconds: 60 } }`)
		var running, most atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				r := policytest.Request("192.0.2.1")
				if err := policytest.Admit(s, r); err != nil {
					t.Error(err)
					return
				}
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
				running.Add(-1)
				s.Done(r, &policy.Outcome{})
			})
		}
		wg.Wait()
		if m := most.Load(); m != 3 {
			t.Errorf("%d calls ran at once, want at most 3", m)
		}
		gateIsEmpty(t, s)
	})
}

func gateIsEmpty(t *testing.T, s *policy.Set) {
	t.Helper()
	g := s.Parts()[0].(*streams).gate
	if g.running != 0 || g.waiting != 0 || g.oldest != nil || g.newest != nil {
		t.Errorf("the gate is not empty: %d run, %d wait", g.running, g.waiting)
	}
}

func TestConcurrencyQueueIsFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streamBench(t).Set(`concurrency { max: 1 queue: 5 queue_timeout { seconds: 60 } }`)
		first := policytest.Request("192.0.2.1")
		if err := policytest.Admit(s, first); err != nil {
			t.Fatal(err)
		}
		var order []int
		for i := range 5 {
			go func() {
				r := policytest.Request("192.0.2.1")
				if err := policytest.Admit(s, r); err != nil {
					t.Error(err)
				}
				order = append(order, i)
				s.Done(r, &policy.Outcome{})
			}()
			synctest.Wait()
		}
		r := policytest.Request("192.0.2.1")
		if err := policytest.Admit(s, r); status.Code(err) != codes.Unavailable || r.ResponseHeader.Get("Retry-After") != "1" {
			t.Errorf("with the queue full: %v, Retry-After %q, want UNAVAILABLE and 1", err, r.ResponseHeader.Get("Retry-After"))
		}
		s.Done(first, &policy.Outcome{})
		synctest.Wait()
		for i, n := range order {
			if i != n || len(order) != 5 {
				t.Fatalf("the order was %v, want that of arrival", order)
			}
		}
		gateIsEmpty(t, s)
	})
}

func TestConcurrencyQueueEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streamBench(t).Set(`concurrency { max: 1 queue: 2 queue_timeout { seconds: 2 } }`)
		first := policytest.Request("192.0.2.1")
		if err := policytest.Admit(s, first); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := policytest.Admit(s, policytest.Request("192.0.2.1")); status.Code(err) != codes.Unavailable {
			t.Errorf("after the queue's timeout: %v, want UNAVAILABLE", err)
		}
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("waited %v, want 2s", waited)
		}
		for _, test := range []struct {
			end  func(context.Context) (context.Context, context.CancelFunc)
			want codes.Code
		}{
			{func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			}, codes.Canceled},
			{func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			}, codes.DeadlineExceeded},
		} {
			ctx, cancel := test.end(context.Background())
			if _, err := s.Admit(ctx, policytest.Request("192.0.2.1")); status.Code(err) != test.want {
				t.Errorf("found %v, want %v", err, test.want)
			}
			cancel()
		}
		s.Done(first, &policy.Outcome{})
		gateIsEmpty(t, s)
	})
}

func TestConcurrencySurvivesAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := streamBench(t)
		before := b.Set(`concurrency { max: 2 }`)
		one, two := policytest.Request("192.0.2.1"), policytest.Request("192.0.2.1")
		if policytest.Admit(before, one) != nil || policytest.Admit(before, two) != nil {
			t.Fatal("two calls were not admitted")
		}
		if err := policytest.Admit(b.Set(`concurrency { max: 2 }`), policytest.Request("192.0.2.1")); err == nil {
			t.Error("a reload forgot the calls that run")
		}
		waited := make(chan error)
		go func() {
			waited <- policytest.Admit(b.Set(`concurrency { max: 2 queue: 1 queue_timeout { seconds: 9 } }`), policytest.Request("192.0.2.1"))
		}()
		synctest.Wait()
		wide := b.Set(`concurrency { max: 4 queue: 1 queue_timeout { seconds: 9 } }`)
		if err := policytest.Admit(wide, policytest.Request("192.0.2.1")); err != nil {
			t.Errorf("a larger max does not hold: %v", err)
		}
		if err := <-waited; err != nil {
			t.Errorf("the call that waited did not profit from the larger max: %v", err)
		}
		before.Done(one, &policy.Outcome{})
		if err := policytest.Admit(b.Set(`concurrency { max: 1 }`), policytest.Request("192.0.2.1")); err == nil {
			t.Error("a smaller max does not hold")
		}
	})
}

func TestWrongConcurrency(t *testing.T) {
	b := streamBench(t)
	b.Refused(`concurrency {}`, "concurrency.max", "1 to")
	b.Refused(`concurrency { max: 4000000000 }`, "concurrency.max")
	b.Refused(`concurrency { max: 1 queue: 4000000000 }`, "concurrency.queue")
	b.Refused(`concurrency { max: 1 queue_timeout { seconds: -1 } }`, "concurrency.queue_timeout")
	b.Refused(`concurrency { max: 1 queue_timeout { seconds: 1 } }`, "concurrency.queue_timeout", "nothing waits without")
}

func BenchmarkConcurrency(b *testing.B) {
	s := streamBench(b).Set(`concurrency { max: 100 }`)
	r := policytest.Request("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if err := policytest.Admit(s, r); err != nil {
			b.Fatal(err)
		}
		s.Done(r, &policy.Outcome{})
	}
}
