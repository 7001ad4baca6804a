// Package memory compares what the gateway keeps answers in with a cache that others would take.
package memory

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"github.com/maypok86/otter/v2"

	"github.com/transom-gateway/transom/internal/s3fifo"
)

const (
	bound = 64 << 20 // bytes
	size  = 1 << 10  // of an answer, in bytes
)

// answer is what is kept.
type answer struct{ body []byte }

// cache is what both have in common.
type cache interface {
	get(key []byte) *answer
	put(key string, a *answer)
}

type ours struct{ *s3fifo.Cache[*answer] }

func (c ours) get(key []byte) *answer {
	if e := c.Get(key); e != nil {
		return e.Value
	}
	return nil
}

func (c ours) put(key string, a *answer) {
	c.Put(&s3fifo.Entry[*answer]{Key: key, Size: int64(2*len(key) + len(a.body) + 200), Value: a})
}

type theirs struct{ *otter.Cache[string, *answer] }

func (c theirs) get(key []byte) *answer {
	a, _ := c.GetIfPresent(string(key))
	return a
}

func (c theirs) put(key string, a *answer) { c.Set(key, a) }

func newTheirs(tb testing.TB) theirs {
	tb.Helper()
	c, err := otter.New(&otter.Options[string, *answer]{
		MaximumWeight: bound, Weigher: func(key string, a *answer) uint32 { return uint32(2*len(key) + len(a.body) + 200) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return theirs{c}
}

func each(b *testing.B, run func(b *testing.B, c cache)) {
	b.Run("ours", func(b *testing.B) { run(b, ours{s3fifo.New[*answer](bound)}) })
	b.Run("otter", func(b *testing.B) { run(b, newTheirs(b)) })
}

// keyOf is as long as those of small requests.
func keyOf(buffer []byte, n uint64) []byte {
	return strconv.AppendUint(append(buffer, "12345678 a key of some method "...), n, 10)
}

// BenchmarkHit finds answers that are there, from all processors.
func BenchmarkHit(b *testing.B) {
	each(b, func(b *testing.B, c cache) {
		for n := range uint64(1000) {
			c.put(string(keyOf(nil, n)), &answer{make([]byte, size)})
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			var buffer [64]byte
			for n := uint64(0); pb.Next(); n++ {
				if c.get(keyOf(buffer[:0], n%1000)) == nil {
					b.Error("an answer is gone")
					return
				}
			}
		})
	})
}

// BenchmarkZipf asks for a million keys, some much more often than others, and keeps what
// was not there. With a scan, as many keys that are used once are asked for in between. It
// reports which part was there and what the heap holds for each byte of the bound.
func BenchmarkZipf(b *testing.B) {
	for _, skew := range []float64{1.01, 1.2} {
		for _, scan := range []bool{false, true} {
			b.Run(fmt.Sprintf("skew=%v/scan=%v", skew, scan), func(b *testing.B) {
				each(b, func(b *testing.B, c cache) {
					random := rand.New(rand.NewPCG(1, 2))
					zipf := rand.NewZipf(random, skew, 1, 1_000_000)
					var buffer [64]byte
					ask := func(n uint64) bool {
						key := keyOf(buffer[:0], n)
						if c.get(key) != nil {
							return true
						}
						c.put(string(key), &answer{make([]byte, size)})
						return false
					}
					hits, asked, once := 0, 0, uint64(1<<40)
					for b.Loop() {
						for range 1000 {
							if asked++; ask(zipf.Uint64()) {
								hits++
							}
							if scan {
								once++
								ask(once)
							}
						}
					}
					b.ReportMetric(float64(hits)/float64(asked), "hits/ask")
					runtime.GC()
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					b.ReportMetric(float64(m.HeapAlloc)/bound, "heap/bound")
					runtime.KeepAlive(c)
				})
			})
		}
	}
}
