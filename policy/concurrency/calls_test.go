package concurrency

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// holding is a backend that works on each call until it is let go.
type holding struct {
	proxy.Backend
	calls int
	let   chan struct{}
}

func (h *holding) Call(context.Context, string, proxy.Metadata, proxy.Frame) (proxy.Reply, error) {
	h.calls++
	<-h.let
	return proxy.Reply{}, nil
}

// call carries a request through a Set and a backend that it wraps.
func call(ctx context.Context, s *policy.Set, wrapped proxy.Backend, r *policy.Request) error {
	ctx, err := s.Admit(ctx, r)
	defer s.Done(r, &policy.Outcome{})
	if err != nil {
		return err
	}
	_, err = wrapped.Call(policy.NewContext(ctx, r), "/s/M", nil, proxy.WrapFrame(nil))
	return err
}

// decisions is an Observer that remembers.
type decisions []string

func (d *decisions) Decision(policy, _, result string) { *d = append(*d, policy+" "+result) }

// TestUnaryCallsTakePlacesBeforeTheBackend: an admitted call takes no place until it
// goes to the backend, and gives it back when the backend has answered.
func TestUnaryCallsTakePlacesBeforeTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policytest.NewBench(t, policy.StateOptions{}, Streams(), Calls())
		var told decisions
		b.Observer = &told
		s := b.Set(`concurrency { max: 1 queue: 1 queue_timeout { seconds: 2 } }`)
		h := &holding{let: make(chan struct{})}
		wrapped := s.Wrap(h)
		for range 5 {
			if err := policytest.Admit(s, policytest.Request("192.0.2.1")); err != nil {
				t.Fatalf("a call that never gets to the backend: %v", err)
			}
		}
		ended := make(chan error, 2)
		for range 2 {
			go func() { ended <- call(t.Context(), s, wrapped, policytest.Request("192.0.2.1")) }()
			synctest.Wait()
		}
		r := policytest.Request("192.0.2.1")
		if err := call(t.Context(), s, wrapped, r); status.Code(err) != codes.Unavailable || r.ResponseHeader.Get("Retry-After") != "1" || r.RefusedBy != "concurrency" {
			t.Errorf("with the queue full: %v, Retry-After %q, refused by %q", err, r.ResponseHeader.Get("Retry-After"), r.RefusedBy)
		}
		if last := told[len(told)-1]; last != "concurrency unavailable" {
			t.Errorf("the observer hears %q", last)
		}
		if h.calls != 1 {
			t.Errorf("%d calls came to the backend, want 1", h.calls)
		}
		h.let <- struct{}{}
		synctest.Wait()
		if err := <-ended; err != nil || h.calls != 2 {
			t.Errorf("%v after %d calls, want the one that waited to run", err, h.calls)
		}
		// A third waits for the queue's time, a fourth for its own.
		r = policytest.Request("192.0.2.1")
		start := time.Now()
		if err := call(t.Context(), s, wrapped, r); status.Code(err) != codes.Unavailable || time.Since(start) != 2*time.Second {
			t.Errorf("after %v: %v, want UNAVAILABLE after 2s", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := call(ctx, s, wrapped, r); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v, want DEADLINE_EXCEEDED", err)
		}
		h.let <- struct{}{}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if g := s.Parts()[0].(*calls).gate; g.running != 0 || g.waiting != 0 {
			t.Errorf("%d run and %d wait", g.running, g.waiting)
		}
	})
}

// TestWebSocketsOfUnaryMethodsTakePlacesAtAdmission: a refusal comes before the upgrade.
func TestWebSocketsOfUnaryMethodsTakePlacesAtAdmission(t *testing.T) {
	s := policytest.NewBench(t, policy.StateOptions{}, Streams(), Calls()).Set(`concurrency { max: 1 }`)
	first, second := policytest.Request("192.0.2.1"), policytest.Request("192.0.2.1")
	first.WebSocket, second.WebSocket = true, true
	if err := policytest.Admit(s, first); err != nil {
		t.Fatal(err)
	}
	if err := policytest.Admit(s, second); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want UNAVAILABLE", err)
	}
	s.Done(first, &policy.Outcome{})
	h := &holding{let: make(chan struct{}, 1)}
	h.let <- struct{}{}
	if err := call(t.Context(), s, s.Wrap(h), second); err != nil || h.calls != 1 {
		t.Errorf("%v after %d calls", err, h.calls)
	}
}

// BenchmarkCall is what a unary call pays for its place.
func BenchmarkCall(b *testing.B) {
	s := policytest.NewBench(b, policy.StateOptions{}, Streams(), Calls()).Set(`concurrency { max: 100 }`)
	h := &holding{let: make(chan struct{})}
	close(h.let)
	wrapped, r := s.Wrap(h), policytest.Request("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if err := call(context.Background(), s, wrapped, r); err != nil {
			b.Fatal(err)
		}
	}
}
