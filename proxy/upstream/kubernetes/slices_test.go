package kubernetes

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestLies: Traffic 175: an API that tells of slices without end, and of names and ports
// that no API has, costs bounded memory.
func TestLies(t *testing.T) {
	before := allocated()
	kept := newTable("grpc")
	long := strings.Repeat("x", 20_000)
	for i := range 2*maxSlices + 400 {
		text := fmt.Sprintf(`{"metadata":{"name":"slice-%d"},"ports":[{"name":"other","port":1}]}`, i)
		switch {
		case i >= 400:
		case i%2 == 0:
			text = fmt.Sprintf(`{"metadata":{"name":%q},"ports":[{"name":"grpc","port":1}],"endpoints":[{"addresses":["10.0.0.1"]}]}`, fmt.Sprint(long, i))
		default:
			text = fmt.Sprintf(`{"metadata":{"name":"slice-%d"},"ports":[{"name":%q,"port":1},{"name":"grpc","port":2}],`+
				`"endpoints":[{"addresses":["10.0.0.%d"],"targetRef":{"kind":"Pod","name":%q},"zone":%q}]}`, i, long, i/2, long, long)
		}
		var s slice
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		kept.set(&s)
	}
	if took := allocated() - before; took > 4<<20 {
		t.Errorf("%d bytes are kept", took)
	}
	if len(kept.ports) != maxSlices {
		t.Errorf("%d slices are kept, want %d", len(kept.ports), maxSlices)
	}
	if all, err := kept.endpoints(); len(all) != 200 || err != nil {
		t.Errorf("%d endpoints, %v", len(all), err)
	}
}

// allocated is what is in use, in bytes.
func allocated() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // it fits
}
