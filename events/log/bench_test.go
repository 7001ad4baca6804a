package log

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkAppend is what records of 300 bytes cost on the disk of the temporary folder.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 128} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{OnFull: DropOldest})
			if err != nil {
				b.Fatal(err)
			}
			defer closeTest(b, l)
			body := make([]byte, 300)
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := l.Append(b.Context(), body); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkSync is what the disk's own sync costs, for the figures of BenchmarkAppend.
func BenchmarkSync(b *testing.B) {
	f, err := disk{}.Create(b.TempDir() + "/file")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Allocate(64 * mebibyte); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	record := make([]byte, 320)
	for i := 0; b.Loop(); i++ {
		if _, err := f.WriteAt(record, int64(i%100_000)*320); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}

// BenchmarkRecovery opens a log of 1 GiB, and reads all of it.
func BenchmarkRecovery(b *testing.B) {
	dir := b.TempDir()
	o := Options{MaxBytes: 2 << 30}
	l, err := Open(dir, o)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := l.Sink("slow"); err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			body := make([]byte, 4<<10)
			for l.Stats().Next < 1<<30/(4<<10+recordHeader) {
				if _, err := l.Append(b.Context(), body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	closeTest(b, l)
	for name, read := range map[string]bool{"open": false, "open and read all": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				l, err := Open(dir, o)
				if err != nil {
					b.Fatal(err)
				}
				r := l.Reader(0)
				for next := l.Stats().Next; read && r.next+1 < next; {
					if _, err := r.Next(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				_ = r.Close()
				closeTest(b, l)
			}
		})
	}
	_ = os.RemoveAll(dir)
}

// An append allocates what its batch does, whatever the size of the record.
func TestAppendAllocations(t *testing.T) {
	l := openTest(t, newMemory(), Options{OnFull: DropOldest, MaxRecordBytes: 1 << 20})
	defer closeTest(t, l)
	for _, size := range []int{10, 1000, 100_000} {
		body := make([]byte, size)
		appendOne := func() {
			if _, err := l.Append(t.Context(), body); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			appendOne()
		}
		if n := testing.AllocsPerRun(20, appendOne); n > 5 {
			t.Errorf("%d bytes: %.0f allocations", size, n)
		}
	}
}
