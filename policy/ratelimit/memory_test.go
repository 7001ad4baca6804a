package ratelimit

import (
	"container/list"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

// oldestOut is the slow and plain form of one shard.
type oldestOut struct {
	bound int
	order *list.List // of bucketKey, the newest first
	at    map[bucketKey]*list.Element
	tats  map[bucketKey]int64
}

func (o *oldestOut) take(r rate, key bucketKey, now int64) verdict {
	if e := o.at[key]; e != nil {
		o.order.MoveToFront(e)
	} else {
		if o.order.Len() == o.bound {
			last := o.order.Back()
			gone := o.order.Remove(last).(bucketKey)
			delete(o.at, gone)
			delete(o.tats, gone)
		}
		o.at[key] = o.order.PushFront(key)
	}
	tat, v := r.take(o.tats[key], now)
	o.tats[key] = tat
	return v
}

func TestBucketsForgetTheOldest(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	now := policytest.NewClock()
	all := newBuckets(0, now.Now) // one bucket a shard at least
	shard := &all.shards[0]
	for _, bound := range []int{1, 2, 3, 7, 8, 100} {
		*shard = bucketShard{seed: all.seed, bound: bound, newest: none, oldest: none}
		model := &oldestOut{bound: bound, order: list.New(), at: map[bucketKey]*list.Element{}, tats: map[bucketKey]int64{}}
		r := rate{interval: 10, window: 30}
		for step := range 20_000 {
			key := bucketKey{hi: random.Uint64N(uint64(bound) + 5), limit: uint32(random.IntN(2))}
			e := shard.entry(key, maphash.Comparable(all.seed, key))
			tat, got := r.take(e.tat, int64(step))
			e.tat = tat
			if want := model.take(r, key, int64(step)); got != want {
				t.Fatalf("bound %d, step %d: found %+v, want %+v", bound, step, got, want)
			}
			if len(shard.entries) > bound || len(shard.entries) != model.order.Len() {
				t.Fatalf("bound %d: %d buckets, want %d", bound, len(shard.entries), model.order.Len())
			}
		}
	}
}

func TestCallersAreTold(t *testing.T) {
	address := func(s string) caller { return callerOfAddress(netip.MustParseAddr(s)) }
	for _, test := range []struct {
		a, b caller
		same bool
	}{
		{address("192.0.2.1"), address("192.0.2.1"), true},
		{address("192.0.2.1"), address("::ffff:192.0.2.1"), true},
		{address("192.0.2.1"), address("192.0.2.2"), false},
		{address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"), true},
		{address("2001:db8:1:2::1%eth0"), address("2001:db8:1:2::1"), true},
		{address("2001:db8:1:2::1"), address("2001:db8:1:3::1"), false},
		{callerOfText("a"), callerOfText("a"), true},
		{callerOfText("a"), callerOfText("b"), false},
		{callerOfText(""), caller{}, false},
	} {
		if same := keyOf(1, test.a) == keyOf(1, test.b); same != test.same {
			t.Errorf("%+v and %+v: same bucket %t, want %t", test.a, test.b, same, test.same)
		}
		if keyOf(1, test.a) == keyOf(2, test.a) {
			t.Errorf("%+v has one bucket for two limits", test.a)
		}
	}
}

func TestBucketsAdmitExactlyTheBurstInParallel(t *testing.T) {
	all := newBuckets(maxBuckets, policytest.NewClock().Now)
	r := rate{interval: time.Second, window: 100 * time.Second}
	var wg sync.WaitGroup
	admitted := make([]int, 8)
	for i := range admitted {
		wg.Go(func() {
			for range 100 {
				if !all.take(r, 7, callerOfText("one")).refused {
					admitted[i]++
				}
				all.take(r, 7, callerOfText(fmt.Sprint("other", i)))
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range admitted {
		sum += n
	}
	if sum != 100 {
		t.Errorf("%d calls were admitted, want 100", sum)
	}
}

// A bucket's size is what the stated bound of memory rests on.
//
//transom:norace
func TestAMillionBucketsFitInFiftyMegabytes(t *testing.T) {
	if size := unsafe.Sizeof(bucket{}); size+8 != bucketBytes {
		t.Errorf("a bucket has %d bytes and up to 8 in the index, want %d together", size, bucketBytes)
	}
	all := newBuckets(maxBuckets, time.Now)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	fill(all, 2*maxBuckets)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := all.len(); n > maxBuckets || n < maxBuckets*98/100 {
		t.Errorf("%d buckets, want at most and nearly %d", n, maxBuckets)
	}
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if used > bucketBytes*maxBuckets*105/100 {
		t.Errorf("%d buckets take %d bytes, want at most %d", all.len(), used, bucketBytes*maxBuckets)
	}
	t.Logf("%d buckets take %.1f MB", all.len(), float64(used)/1e6)
	runtime.KeepAlive(all)
}

// fill gives each of n addresses a bucket.
func fill(all *buckets, n int) {
	r := rate{interval: time.Second, window: time.Second}
	for i := range n {
		all.take(r, 0, caller{hi: uint64(i)})
	}
}

func BenchmarkMemoryLimit(b *testing.B) {
	r := rate{interval: time.Microsecond, window: time.Millisecond}
	full := newBuckets(maxBuckets, time.Now)
	fill(full, maxBuckets)
	b.Run("one key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			full.take(r, 0, caller{hi: 1})
		}
	})
	for _, keys := range []uint64{1, 1 << 20} {
		b.Run(fmt.Sprintf("%d keys in parallel", keys), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				i := rand.Uint64()
				for pb.Next() {
					i++
					full.take(r, 0, caller{hi: i % keys})
				}
			})
		})
	}
	b.Run("a new key each, the oldest out", func(b *testing.B) {
		b.ReportAllocs()
		for i := uint64(1 << 40); b.Loop(); i++ {
			full.take(r, 0, caller{hi: i})
		}
	})
}
