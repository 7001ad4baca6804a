package subscription_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/subscription"
)

// method is what messages are given to.
type method struct {
	mu    sync.Mutex
	calls []string // "key/offset"
	// answer is for an attempt; nil: OK.
	answer func(m *subscription.Message, attempt int) subscription.Result
	takes  time.Duration
}

func (f *method) call(ctx context.Context, m *subscription.Message, attempt int) subscription.Result {
	if f.takes > 0 {
		select {
		case <-time.After(f.takes):
		case <-ctx.Done():
			return subscription.Result{Code: codes.Canceled}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf("%s/%d", m.Key, m.Offset))
	if f.answer != nil {
		return f.answer(m, attempt)
	}
	return subscription.Result{}
}

func (f *method) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func message(offset int64, key string) *subscription.Message {
	return &subscription.Message{Offset: offset, Key: key, Event: &events.Event{ID: fmt.Sprint(offset), Type: "t"}, Size: 100}
}

func options(f *method) subscription.Options {
	return subscription.Options{Name: "s", Call: f.call, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), MaxAttempts: 3,
		Dead: func(context.Context, *subscription.Message, subscription.Result, int) error { return nil }}
}

func take(t *testing.T, p *subscription.Partition, all ...*subscription.Message) {
	t.Helper()
	for _, m := range all {
		if err := p.Take(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func closeNow(p *subscription.Partition) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Close(ctx)
}

// TestOrderByKey holds Events 167: of one key there is one call at a time, in order, and a key
// that is tried again keeps no other lane.
func TestOrderByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &method{answer: func(m *subscription.Message, _ int) subscription.Result {
			if m.Key == "a" {
				return subscription.Result{Code: codes.Unavailable, NotReached: true}
			}
			return subscription.Result{}
		}}
		p := subscription.NewPartition(options(stuck), 0)
		defer closeNow(p)
		var want []string
		take(t, p, message(0, "a"), message(1, "a"))
		for i := range int64(200) {
			key := fmt.Sprint("k", i%50)
			take(t, p, message(2+i, key))
		}
		time.Sleep(time.Minute)
		seen := map[string]int64{}
		for _, call := range stuck.called() {
			var key string
			var offset int64
			_, _ = fmt.Sscanf(call, "%1s", &key)
			if call[0] == 'a' {
				if call != "a/0" {
					t.Fatalf("%s was called before a/0 was done", call)
				}
				continue
			}
			var n int
			_, _ = fmt.Sscanf(call, "k%d/%d", &n, &offset)
			if last, ok := seen[fmt.Sprint(n)]; ok && last >= offset {
				t.Errorf("k%d: %d came after %d", n, offset, last)
			}
			seen[fmt.Sprint(n)] = offset
			want = append(want, call)
		}
		// Keys that share a's lane wait; there are 16.
		if len(want) < 100 {
			t.Errorf("%d of 200 messages of other keys were called", len(want))
		}
		if p.Committed() != 0 {
			t.Errorf("Events 164: committed %d while the first message is in flight", p.Committed())
		}
	})
}

// TestCommitted holds Events 164: what may be committed is the end of the messages that are done
// without one between them that is not, whatever order they end in.
func TestCommitted(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("Events 164: seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // it is a test's
				var mu sync.Mutex
				open := map[int64]bool{}
				var p *subscription.Partition
				check := func() {
					mu.Lock()
					defer mu.Unlock()
					for offset := range open {
						if p.Committed() > offset {
							t.Errorf("committed %d while %d is in flight", p.Committed(), offset)
						}
					}
				}
				delays := make([]time.Duration, 600)
				for i := range delays {
					delays[i] = time.Duration(random.IntN(1000)) * time.Millisecond
				}
				o := options(&method{})
				o.Order = subscription.NoOrder
				o.Lanes = 64
				o.Call = func(_ context.Context, m *subscription.Message, _ int) subscription.Result {
					time.Sleep(delays[m.Offset%600])
					check()
					mu.Lock()
					delete(open, m.Offset)
					mu.Unlock()
					return subscription.Result{}
				}
				p = subscription.NewPartition(o, 7)
				defer closeNow(p)
				if p.Committed() != 7 {
					t.Errorf("committed %d at the beginning", p.Committed())
				}
				offset := int64(7)
				for range 600 {
					offset += 1 + int64(random.IntN(3)) // a compacted topic has gaps
					mu.Lock()
					open[offset] = true
					mu.Unlock()
					take(t, p, message(offset, ""))
				}
				time.Sleep(time.Minute)
				if p.Committed() != offset+1 || p.InFlight() != 0 {
					t.Errorf("committed %d at the end, want %d; %d in flight", p.Committed(), offset+1, p.InFlight())
				}
			})
		})
	}
}

// TestVerdicts holds Events 165: what each code means.
func TestVerdicts(t *testing.T) {
	attempts := map[codes.Code]int{}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		synctest.Test(t, func(t *testing.T) {
			f, dead := &method{}, 0
			f.answer = func(*subscription.Message, int) subscription.Result { return subscription.Result{Code: code} }
			o := options(f)
			o.Dead = func(_ context.Context, _ *subscription.Message, r subscription.Result, n int) error {
				dead++
				if r.Code != code || n != len(f.called()) {
					t.Errorf("%v: the dead letter says %v after %d attempts", code, r.Code, n)
				}
				return nil
			}
			p := subscription.NewPartition(o, 0)
			defer closeNow(p)
			take(t, p, message(0, "a"))
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			attempts[code] = len(f.called())
			if done := code == codes.OK || code == codes.AlreadyExists; done != (dead == 0) || p.Committed() != 1 {
				t.Errorf("%v: %d dead letters, committed %d", code, dead, p.Committed())
			}
		})
	}
	for code, n := range attempts {
		again := slices.Contains([]codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Unknown, codes.Internal, codes.Canceled}, code)
		if want := map[bool]int{false: 1, true: 3}[again]; n != want {
			t.Errorf("Events 165: %v was tried %d times, want %d", code, n, want)
		}
	}
}

// TestNobodyThere holds Events 166: attempts are not used up while no backend sees the call, and
// a server's RetryInfo is obeyed.
func TestNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var numbers []int
		var asked, tried time.Time
		f := &method{answer: func(_ *subscription.Message, attempt int) subscription.Result {
			numbers = append(numbers, attempt)
			switch {
			case time.Since(begun) < time.Hour:
				return subscription.Result{Code: codes.Unavailable, NotReached: true}
			case attempt == 1:
				asked = time.Now()
				return subscription.Result{Code: codes.ResourceExhausted, RetryAfter: 7 * time.Second}
			}
			tried = time.Now()
			return subscription.Result{}
		}}
		p := subscription.NewPartition(options(f), 0)
		defer closeNow(p)
		take(t, p, message(0, "a"))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := len(numbers); n < 100 || n > 600 || numbers[n-1] != 2 || numbers[n-2] != 1 {
			t.Errorf("%d attempts, the last ones %v", n, numbers[max(0, n-3):])
		}
		if d := tried.Sub(asked); d != 7*time.Second {
			t.Errorf("tried again after %v", d)
		}
	})
}

// TestPauses holds Events 166: attempts are 100 ms apart and then up to twice as long each time, 30 s at most, with full jitter.
func TestPauses(t *testing.T) {
	const tries, messages = 14, 64
	var mu sync.Mutex
	longest, sum := [tries]time.Duration{}, [tries]time.Duration{}
	synctest.Test(t, func(t *testing.T) {
		last := map[int64]time.Time{}
		f := &method{answer: func(m *subscription.Message, attempt int) subscription.Result {
			mu.Lock()
			defer mu.Unlock()
			if before, ok := last[m.Offset]; ok && attempt <= tries {
				pause := time.Since(before)
				longest[attempt-1], sum[attempt-1] = max(longest[attempt-1], pause), sum[attempt-1]+pause
			}
			last[m.Offset] = time.Now()
			return subscription.Result{Code: codes.Internal}
		}}
		o := options(f)
		o.MaxAttempts, o.Lanes, o.Order = tries, messages, subscription.NoOrder
		p := subscription.NewPartition(o, 0)
		defer closeNow(p)
		for n := range int64(messages) {
			take(t, p, message(n, ""))
		}
		time.Sleep(time.Hour)
		if p.Committed() != messages {
			t.Errorf("committed %d", p.Committed())
		}
	})
	for n := 1; n < tries; n++ {
		bound := min(100*time.Millisecond<<(n-1), 30*time.Second)
		if mean := sum[n] / messages; longest[n] > bound || longest[n] < bound*3/4 || mean < bound/4 || mean > bound*3/4 {
			t.Errorf("before attempt %d pauses are up to %v and %v on average, want up to %v and half of that", n+1, longest[n], mean, bound)
		}
	}
}

// TestDeadLetterWaits holds Events 168: a message is done only when its dead letter is
// written.
func TestDeadLetterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &method{answer: func(*subscription.Message, int) subscription.Result {
			return subscription.Result{Code: codes.InvalidArgument}
		}}
		o := options(f)
		var away atomic.Bool
		away.Store(true)
		o.Dead = func(context.Context, *subscription.Message, subscription.Result, int) error {
			if away.Load() {
				return errors.New("the broker is away")
			}
			return nil
		}
		p := subscription.NewPartition(o, 0)
		defer closeNow(p)
		take(t, p, message(0, "a"), message(1, "a"))
		time.Sleep(time.Hour)
		if p.Committed() != 0 || len(f.called()) != 1 {
			t.Errorf("committed %d, called %v", p.Committed(), f.called())
		}
		away.Store(false)
		time.Sleep(time.Minute)
		if p.Committed() != 2 {
			t.Errorf("committed %d", p.Committed())
		}
	})
}

// TestExhausted holds Events 169.
func TestExhausted(t *testing.T) {
	t.Run("Events 169: skipped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &method{answer: func(*subscription.Message, int) subscription.Result {
				return subscription.Result{Code: codes.Internal}
			}}
			o := options(f)
			o.OnExhausted = subscription.Skip
			p := subscription.NewPartition(o, 0)
			defer closeNow(p)
			take(t, p, message(0, "a"))
			time.Sleep(time.Minute)
			if p.Committed() != 1 || len(f.called()) != 3 {
				t.Errorf("committed %d, called %v", p.Committed(), f.called())
			}
		})
	})
	t.Run("Events 169: paused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var broken atomic.Bool
			broken.Store(true)
			f := &method{answer: func(*subscription.Message, int) subscription.Result {
				if broken.Load() {
					return subscription.Result{Code: codes.Internal}
				}
				return subscription.Result{}
			}}
			o := options(f)
			o.OnExhausted = subscription.Pause
			p := subscription.NewPartition(o, 0)
			defer closeNow(p)
			take(t, p, message(0, "a"))
			time.Sleep(time.Hour)
			if p.Committed() != 0 || len(f.called()) != 3 || !p.Paused() {
				t.Errorf("committed %d, called %v", p.Committed(), f.called())
			}
			broken.Store(false)
			p.Resume()
			time.Sleep(time.Minute)
			if p.Committed() != 1 || p.Paused() {
				t.Errorf("committed %d after it was resumed", p.Committed())
			}
		})
	})
	t.Run("Events 166: too old", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &method{answer: func(*subscription.Message, int) subscription.Result {
				return subscription.Result{Code: codes.Internal}
			}}
			o := options(f)
			o.MaxAttempts, o.MaxAge = 0, time.Hour
			p := subscription.NewPartition(o, 0)
			defer closeNow(p)
			m := message(0, "a")
			m.Event.Time = time.Now()
			take(t, p, m)
			time.Sleep(59 * time.Minute)
			if p.Committed() != 0 {
				t.Error("given up before its time")
			}
			time.Sleep(2 * time.Minute)
			if p.Committed() != 1 {
				t.Error("not given up")
			}
		})
	})
}

// TestBounds holds that what is in flight is bounded by its number and its bytes.
func TestBounds(t *testing.T) {
	for name, o := range map[string]func(*subscription.Options){
		"Events 167: messages": func(o *subscription.Options) { o.MaxInFlight = 10 },
		"Events 167: bytes":    func(o *subscription.Options) { o.MaxInFlightBytes = 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &method{takes: time.Hour}
				with := options(f)
				o(&with)
				p := subscription.NewPartition(with, 0)
				taken := 0
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				for p.Take(ctx, message(int64(taken), fmt.Sprint(taken))) == nil {
					taken++
				}
				if taken != 10 || p.InFlight() != 10 {
					t.Errorf("%d were taken, %d are in flight", taken, p.InFlight())
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				large := message(100, "a")
				large.Size = 1 << 20
				take(t, p, large) // alone
				closeNow(p)
				if err := p.Take(t.Context(), message(101, "a")); err == nil {
					t.Error("taken by a closed partition")
				}
			})
		})
	}
}

// TestClose holds Events 171 and 172: calls under way may end in time; those that do not are cancelled, and
// are not done.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &method{takes: 10 * time.Second}
		p := subscription.NewPartition(options(f), 0)
		take(t, p, message(0, "a"), message(1, "a"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		p.Close(ctx)
		if p.Committed() != 1 || len(f.called()) != 1 {
			t.Errorf("committed %d, called %v", p.Committed(), f.called())
		}

		p = subscription.NewPartition(options(f), 1)
		take(t, p, message(1, "a"))
		synctest.Wait()
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		p.Close(short)
		if p.Committed() != 1 || len(f.called()) != 1 {
			t.Errorf("committed %d, called %v", p.Committed(), f.called())
		}
	})
}
