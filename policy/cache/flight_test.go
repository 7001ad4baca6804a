package cache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

// many makes calls at the same time and counts their answers.
func many(m *caching, n int, ctx func(i int) context.Context) map[string]int {
	var all sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for i := range n {
		all.Go(func() {
			text := m.call(ctx(i), policytest.Request("192.0.2.1"), ask("a"))
			mu.Lock()
			defer mu.Unlock()
			got[text]++
		})
	}
	all.Wait()
	return got
}

func background(int) context.Context { return context.Background() }

// slow is a backend that takes its time, or ends with its call.
func slow(answer func(n int) (string, metadata.MD, error)) *server {
	return &server{answer: func(ctx context.Context, n int, _ string) (string, metadata.MD, error) {
		select {
		case <-time.After(time.Second):
			return answer(n)
		case <-ctx.Done():
			return "", nil, status.FromContextError(ctx.Err()).Err()
		}
	}}
}

// TestOneCallForMany: Traffic 124: misses of one key at the same time are one call.
func TestOneCallForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slow(func(n int) (string, metadata.MD, error) { return fmt.Sprint(n), nil, nil })
		m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, s)
		if got := many(m, 10_000, background); got["1"] != 10_000 || s.count() != 1 {
			t.Errorf("%v by %d calls", got, s.count())
		}
	})
}

// TestOneCallForLateAskers: Traffic 124: one who found nothing, and asks when the call has just
// ended, makes no other one.
func TestOneCallForLateAskers(t *testing.T) {
	const keys = 500
	for name, answer := range map[string]func(n int) (string, metadata.MD, error){
		"an answer":       func(n int) (string, metadata.MD, error) { return fmt.Sprint(n), nil, nil },
		"one that varies": func(n int) (string, metadata.MD, error) { return fmt.Sprint(n), metadata.Pairs("vary", "x"), nil },
		"an error":        func(int) (string, metadata.MD, error) { return "", nil, failing(codes.NotFound) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{answer: func(_ context.Context, n int, _ string) (string, metadata.MD, error) { return answer(n) }}
			m := newBench(t).method("Get", `cache { ttl { seconds: 60 } not_found_ttl { seconds: 60 } }`, s)
			for i := range keys {
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() { m.get(fmt.Sprint("key ", i)) })
				}
				all.Wait()
			}
			if n := s.count(); n != keys {
				t.Errorf("%d calls for %d keys", n, keys)
			}
		})
	}
}

// TestFlightOutlivesItsLeader: Traffic 124: the call ends when the last who waits has gone,
// and each has a deadline of its own.
func TestFlightOutlivesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slow(func(n int) (string, metadata.MD, error) { return fmt.Sprint(n), nil, nil })
		m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, s)
		got := many(m, 10, func(i int) context.Context {
			if i == 5 {
				return context.Background()
			}
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			context.AfterFunc(ctx, cancel)
			return ctx
		})
		if got["1"] != 1 || got["DeadlineExceeded"] != 9 || s.count() != 1 {
			t.Errorf("%v by %d calls", got, s.count())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		s := &server{answer: func(ctx context.Context, _ int, _ string) (string, metadata.MD, error) {
			<-ctx.Done()
			close(ended)
			return "", nil, status.FromContextError(ctx.Err()).Err()
		}}
		m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, s)
		many(m, 3, func(int) context.Context {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			context.AfterFunc(ctx, cancel)
			return ctx
		})
		<-ended
	})
}

// TestFailures: Traffic 124: what the backend says goes to all; without its word the next
// one's call is made, one at a time.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slow(func(int) (string, metadata.MD, error) { return "", nil, failing(codes.Unavailable) })
		m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, s)
		if got := many(m, 10, background); got["Unavailable"] != 10 || s.count() != 1 {
			t.Errorf("%v by %d calls", got, s.count())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := slow(func(n int) (string, metadata.MD, error) {
			if n < 3 {
				return "", nil, status.Error(codes.Unavailable, "no connection")
			}
			return fmt.Sprint(n), nil, nil
		})
		m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, s)
		if got := many(m, 10, background); got["Unavailable"] != 2 || got["3"] != 8 || s.count() != 3 {
			t.Errorf("%v by %d calls", got, s.count())
		}
	})
}

// TestHitForMiss: Traffic 125: calls whose answers are not kept do not wait for each other,
// for 10 seconds.
func TestHitForMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := slow(func(n int) (string, metadata.MD, error) {
			return fmt.Sprint(n), metadata.Pairs("cache-control", "no-store"), nil
		})
		m := b.method("Get", `cache { ttl { seconds: 60 } }`, s)
		if got := many(m, 5, background); len(got) != 5 || s.count() != 5 {
			t.Errorf("%v by %d calls", got, s.count())
		}
		began := time.Now()
		if got := many(m, 5, background); len(got) != 5 || time.Since(began) != time.Second {
			t.Errorf("%v after %v", got, time.Since(began))
		}
		b.clock.Advance(sharing.PassFor)
		began = time.Now()
		if many(m, 5, background); time.Since(began) != 2*time.Second { // one, and then the others
			t.Errorf("after %v", time.Since(began))
		}
	})
}

// TestVariantsDoNotMix: an answer that varies is not given to those who waited with another
// header.
func TestVariantsDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slow(func(n int) (string, metadata.MD, error) { return fmt.Sprint(n), metadata.Pairs("vary", "x-a"), nil })
		m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, s)
		var all sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]map[string]int{}
		for i := range 30 {
			all.Go(func() {
				header := fmt.Sprint("X-A: ", i%3)
				text := m.get("a", header)
				mu.Lock()
				defer mu.Unlock()
				if seen[header] == nil {
					seen[header] = map[string]int{}
				}
				seen[header][text]++
			})
		}
		all.Wait()
		answers := map[string]bool{}
		for header, texts := range seen {
			if len(texts) != 1 {
				t.Errorf("%s has %v", header, texts)
			}
			for text := range texts {
				answers[text] = true
			}
		}
		if len(answers) != 3 || s.count() != 3 {
			t.Errorf("%v by %d calls", seen, s.count())
		}
	})
}

// TestStaleWhileRevalidate: Traffic 126: the stale answer at once, and one call for a new one.
func TestStaleWhileRevalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := slow(func(n int) (string, metadata.MD, error) { return fmt.Sprint(n), nil, nil })
		m := b.method("Get", `cache { ttl { seconds: 60 } stale_while_revalidate { seconds: 30 } }`, s)
		expect(t, m.get("a"), "1")
		b.clock.Advance(minute)
		began := time.Now()
		if got := many(m, 5, background); got["1"] != 5 || time.Since(began) != 0 {
			t.Errorf("%v after %v", got, time.Since(began))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, m.get("a"), "2")
		if s.count() != 2 {
			t.Errorf("%d calls", s.count())
		}
	})
}

// TestManyRefreshes: Traffic 126: clients do not wait for what refreshes a stale answer: there are
// so many at a time, and no more.
func TestManyRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const over = 50
		b := newBench(t)
		var hangs atomic.Bool
		end := make(chan struct{})
		s := &server{answer: func(context.Context, int, string) (string, metadata.MD, error) {
			if hangs.Load() {
				<-end
			}
			return "x", nil, nil
		}}
		m := b.method("Get", `cache { ttl { seconds: 60 } stale_while_revalidate { seconds: 60 } }`, s)
		ask := func() {
			for i := range sharing.MaxRefreshes + over {
				expect(t, m.get(fmt.Sprint(i)), "x")
			}
			synctest.Wait()
		}
		ask()
		hangs.Store(true)
		b.clock.Advance(minute)
		ask()
		if n := s.count() - (sharing.MaxRefreshes + over); n != sharing.MaxRefreshes {
			t.Errorf("%d refreshes at a time, want %d", n, sharing.MaxRefreshes)
		}
		hangs.Store(false)
		close(end)
		synctest.Wait()
		ask() // what had no room is refreshed now
		if n := s.count(); n != 2*(sharing.MaxRefreshes+over) {
			t.Errorf("%d calls, want %d", n, 2*(sharing.MaxRefreshes+over))
		}
	})
}

// TestReadsBeforeAWrite: Traffic 127: what was asked for before a write is not kept after
// it, and nobody joins it.
func TestReadsBeforeAWrite(t *testing.T) {
	for _, tags := range []string{`tags: "{name}"`, `tags: "{response.text}"`} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			s := slow(func(n int) (string, metadata.MD, error) { return strings.Repeat("a", n), nil, nil })
			get := b.method("Get", `cache { ttl { seconds: 60 } `+tags+` }`, s)
			put := b.method("Put", `cache { invalidates: "{name}" }`, saying())
			var all sync.WaitGroup
			all.Go(func() { expect(t, get.get("a"), "a") })
			time.Sleep(500 * time.Millisecond)
			put.get("a")
			expect(t, get.get("a"), "aa")
			all.Wait()
			expect(t, get.get("a"), "aa")
		})
	}
}

// TestReload: Traffic 128: a reload keeps the answers of methods that it does not change.
func TestReload(t *testing.T) {
	b := newBench(t)
	s := saying()
	compile := func(text string) (*caching, func()) {
		b.Method = b.service.Methods().ByName("Get")
		c, _ := policy.New([]policy.Kind{authKind, Kind()}, policy.Environment{Config: b.Config, State: b.State})
		set := policytest.MustCompile(t, c, b.Target(text))
		return &caching{set, set.Wrap(s), "/t.S/Get"}, c.Close
	}
	first, end := compile(`cache { ttl { seconds: 60 } }`)
	expect(t, first.get("a"), "1")
	same, endSame := compile(`cache { ttl { seconds: 60 } }`)
	end()
	expect(t, same.get("a"), "1")
	other, endOther := compile(`cache { ttl { seconds: 61 } }`)
	store, _ := policy.Find[interface{ Cache() *Store }](other.set)
	endSame()
	if n := store.Cache().memory.Len(); n != 0 {
		t.Errorf("%d answers are kept", n)
	}
	expect(t, other.get("a"), "2")
	endOther()
}

// TestPurge: Traffic 128: answers are dropped by method, tag, principal, or all of them.
func TestPurge(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		purge   memory.Purge
		dropped int
	}{
		{memory.Purge{}, 4}, {memory.Purge{Principal: "ada"}, 2}, {memory.Purge{Tag: "n:a"}, 2}, {memory.Purge{Tag: "n:a", Principal: "eve"}, 1}, {memory.Purge{RPC: "t.S/Get"}, 4}, {memory.Purge{RPC: "t.S/No"}, 0},
	} {
		m := newBench(t).method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } tags: "n:{name}" }`, saying())
		for _, who := range []string{"ada", "eve"} {
			m.call(ctx, as(who), ask("a"))
			m.call(ctx, as(who), ask("b"))
		}
		store, _ := policy.Find[interface{ Cache() *Store }](m.set)
		if n := store.Cache().Purge(test.purge); n != test.dropped || store.Cache().memory.Len() != 4-n {
			t.Errorf("%+v: %d dropped, want %d", test.purge, n, test.dropped)
		}
	}
}

// TestPurgeCounts: Traffic 128: what is told is how many answers were dropped, without what the cache
// notes beside them: that they vary, or are not kept.
func TestPurgeCounts(t *testing.T) {
	for said, want := range map[string]int{"max-age=60": 2, "no-store": 0} {
		s := &server{answer: func(context.Context, int, string) (string, metadata.MD, error) {
			return "answer", metadata.Pairs("cache-control", said, "vary", "x-a"), nil
		}}
		m := newBench(t).method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } }`, s)
		for _, value := range []string{"one", "two", "one"} {
			r := as("ada")
			r.HTTP.Header["X-A"] = []string{value}
			m.call(t.Context(), r, ask("a"))
		}
		store, _ := policy.Find[interface{ Cache() *Store }](m.set)
		before := store.Cache().memory.Len()
		if n := store.Cache().Purge(memory.Purge{}); n != want || before <= n || store.Cache().memory.Len() != 0 {
			t.Errorf("%s: %d of %d entries dropped as answers, want %d", said, n, before, want)
		}
	}
}
