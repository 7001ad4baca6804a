package gateway_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestInflatedBodies: a body that inflates to n bytes costs a few times that, be it
// small as sent, and one of 2n twice as much. The backend and the client, which run
// here too, have their part in it (Semantics 303).
func TestInflatedBodies(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for name, pack := range map[string]func(*testing.T, string) string{"gzip": gzipped, "zstd": zstded, "br": brotlied} {
		cost := func(size int) int64 {
			body := pack(t, fmt.Sprintf(`{"stringValue": %q}`, strings.Repeat("x", size)))
			if len(body) > size/100 {
				t.Fatalf("%s has %d bytes", name, len(body))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if a := g.Do(t, "POST", "/v1/echo", body, "Content-Encoding", name); a.Status != 200 || len(a.Body) < size {
				t.Errorf("%s: %d %.100s", name, a.Status, a.Body)
			}
			runtime.ReadMemStats(&after)
			return int64(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // far below
		}
		_ = cost(100_000) // pools
		if n, m := cost(1<<20), cost(2<<20); m > 3*n || m > 40*(2<<20) {
			t.Errorf("%s: 1 MiB costs %d KiB, 2 MiB %d KiB", name, n>>10, m>>10)
		}
	}
}
