package keys

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

// TestOneLookForMany: Traffic 86, 96: however many wait for a key, it is looked at once at a
// time, and all of them have the record that is there; a key that is free is for one of them.
func TestOneLookForMany(t *testing.T) {
	for _, n := range []int{1, 1000} {
		synctest.Test(t, func(t *testing.T) {
			var looks, seen atomic.Int64 // seen is a sight
			record := &Record{State: Answered}
			w := newWatches(func(context.Context, Digest) (sight, *Record) {
				looks.Add(1)
				if s := sight(seen.Load()); s != settled {
					return s, nil
				}
				return settled, record
			})
			var taken, told atomic.Int64
			var over sync.WaitGroup
			for range n {
				over.Go(func() {
					switch r, ok := w.wait(t.Context(), Digest{1}); {
					case ok && r == nil:
						taken.Add(1)
					case ok && r == record:
						told.Add(1)
					}
				})
			}
			time.Sleep(10*pollEvery + pollEvery/2)
			synctest.Wait()
			if looks := looks.Load(); looks != 10 {
				t.Errorf("%d wait: the key was looked at %d times, want 10", n, looks)
			}
			seen.Store(int64(free))
			time.Sleep(pollEvery)
			synctest.Wait()
			seen.Store(int64(held))
			if got := taken.Load(); got != 1 {
				t.Errorf("%d of %d were told that the key is free, want one", got, n)
			}
			seen.Store(int64(settled))
			time.Sleep(pollEvery)
			over.Wait()
			synctest.Wait()
			if got := told.Load(); got != int64(n-1) || len(w.all) != 0 {
				t.Errorf("%d of %d have the record; %d are watched", got, n, len(w.all))
			}
			before := looks.Load()
			time.Sleep(time.Minute)
			synctest.Wait()
			if looks.Load() != before {
				t.Error("a key is looked at that nobody waits for")
			}
		})
	}
}

// TestWatchEnds: Traffic 86: one who goes away keeps nobody, nor is a key looked at then; a
// process that ends leaves nobody waiting.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		w := newWatches(func(context.Context, Digest) (sight, *Record) {
			looks.Add(1)
			return held, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+pollEvery/2)
		defer cancel()
		if _, ok := w.wait(ctx, Digest{1}); ok {
			t.Error("one who went away has something")
		}
		synctest.Wait()
		before := looks.Load()
		time.Sleep(time.Minute)
		if looks.Load() != before || before != 10 || len(w.all) != 0 {
			t.Error("a key is looked at that nobody waits for")
		}
		ended := make(chan bool)
		go func() {
			_, ok := w.wait(t.Context(), Digest{2})
			ended <- ok
		}()
		synctest.Wait()
		if err := w.Close(); err != nil || !<-ended {
			t.Error("who waits was not told that the process ends")
		}
	})
}

// TestLook: Traffic 86, 96: what is seen of a key in Redis in each of its states.
func TestLook(t *testing.T) {
	a := inRedis(t, redistest.Start(t), "t:")
	c := keyed("a", "b", "c")
	expect := func(want sight) *Record {
		t.Helper()
		seen, r := a.look(t.Context(), c.ID)
		if seen != want {
			t.Errorf("seen %d, want %d", seen, want)
		}
		return r
	}
	expect(free)
	lease, _, err := a.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	expect(held)
	lease.End(&Record{State: Answered, Fingerprint: c.Fingerprint, Message: []byte("whole")}, time.Minute)
	if r := expect(settled); r == nil || r.Fingerprint != c.Fingerprint || string(r.Message) != "whole" {
		t.Errorf("%+v", r)
	}
	if r, ok := a.Wait(t.Context(), c.ID); !ok || r == nil || string(r.Message) != "whole" {
		t.Errorf("who waits has %+v", r)
	}
	lost := keyed("lost", "b", "c")
	a.Client.HSet(t.Context(), a.key(lost.ID), "state", inRedisRunning, "until", "1", "fingerprint", string(lost.Fingerprint[:]))
	if seen, _ := a.look(t.Context(), lost.ID); seen != unclear {
		t.Errorf("a lost call is seen as %d", seen)
	}
	damaged := keyed("damaged", "b", "c")
	a.Client.HSet(t.Context(), a.key(damaged.ID), "state", inRedisDone, "record", "x")
	if seen, _ := a.look(t.Context(), damaged.ID); seen != unclear {
		t.Errorf("a damaged record is seen as %d", seen)
	}
}

// TestClockSkew: Traffic 93, 96: leases and times go by Redis's clock alone, so that clocks of
// gateways that differ, from each other or from Redis's, change nothing: a key is neither lost
// nor taken before its time.
func TestClockSkew(t *testing.T) {
	for name, off := range map[string]time.Duration{"Redis is 10 s ahead": 10 * time.Second, "Redis is 10 s behind": -10 * time.Second} {
		t.Run("Traffic 93: "+name, func(t *testing.T) {
			server := redistest.StartWithClock(t, off)
			one, other := inRedis(t, server, "t:"), inRedis(t, server, "t:")
			c := keyed("key", "one", "request")
			first, _, err := one.Begin(t.Context(), c)
			if err != nil || first == nil {
				t.Fatal(first, err)
			}
			dead, ok := first.(*redisLease)
			if !ok {
				t.Fatal("no lease of Redis")
			}
			close(dead.stop) // it dies: nobody renews
			dead.stopped.Wait()
			begin := func(want State) {
				t.Helper()
				if lease, kept, err := other.Begin(t.Context(), c); err != nil || lease != nil || kept.State != want {
					t.Errorf("%v, %+v, %v; want state %v", lease, kept, err, want)
				}
			}
			begin(Running)
			if seen, _ := other.look(t.Context(), c.ID); seen != held {
				t.Errorf("who waits sees %d", seen)
			}
			server.Advance(leaseTime + time.Second)
			if seen, _ := other.look(t.Context(), c.ID); seen != unclear {
				t.Errorf("who waits for a lost call sees %d", seen)
			}
			begin(Uncertain)
		})
	}
}
