package exchange

import (
	"bytes"
	"runtime"
	"testing"
)

// TestAppendAllAllocates: what is read costs about twice its size, however long it
// is (Semantics 303).
func TestAppendAllAllocates(t *testing.T) {
	allocated := func(size int) int64 {
		data := make([]byte, size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := AppendAll(nil, bytes.NewReader(data), 16<<20, 0); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // far below
	}
	for _, size := range []int{1 << 20, 2 << 20, 4 << 20} {
		if got := allocated(size); got > 5*int64(size) {
			t.Errorf("%d bytes cost %d", size, got)
		}
	}
}
