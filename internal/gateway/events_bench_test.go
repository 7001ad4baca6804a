package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// BenchmarkStoredCall is what a call takes whose event is on disk before its answer leaves, beside the same
// call with a best effort event and the disk's own sync: the 99th percentile shall be a millisecond above
// that of the sync at most (Events, "Bar").
func BenchmarkStoredCall(b *testing.B) {
	b.Run("sync", benchmarkSync)
	for _, delivery := range []string{"BEST_EFFORT", "AT_LEAST_ONCE"} {
		for _, callers := range []int{1, 8} {
			b.Run(fmt.Sprint(delivery, "/callers=", callers), func(b *testing.B) {
				server := new(teller)
				g := gatewaytest.Start(b, gatewaytest.Options{Backend: grpctest.ServeAny(b, server.serve),
					Config: "data_directory: ./data\n", Protos: map[string]string{"shared.proto": fmt.Sprintf(measuredProto, delivery)}})
				measureCalls(b, g.URL+"/v1/measured/shelves/1", callers)
			})
		}
	}
}

const measuredProto = `syntax = "proto3";
package measured.v1;
import "bookstore/v1/book.proto";
import "bookstore/v1/bookstore.proto";
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Service {
  rpc Read(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option (google.api.http) = { get: "/v1/measured/{name=shelves/*}" };
    option (transom.v1.method) = { events: { type: "shelf.read" fields: ["request.name", "theme"] delivery: %s } };
  }
}`

func measureCalls(b *testing.B, url string, callers int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var all []time.Duration
	var running sync.WaitGroup
	b.ResetTimer()
	for range callers {
		running.Go(func() {
			took := make([]time.Duration, 0, b.N/callers)
			for range b.N / callers {
				begun := time.Now()
				answer, err := client.Get(url)
				if err != nil || answer.StatusCode != http.StatusOK {
					b.Errorf("%v %v", answer, err)
					return
				}
				_ = answer.Body.Close()
				took = append(took, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	running.Wait()
	reportPercentiles(b, all)
}

// benchmarkSync syncs a file of which each write touches a place of its own, as the log does.
func benchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(64 << 20); err != nil {
		b.Fatal(err)
	}
	var all []time.Duration
	record := make([]byte, 512)
	for i := range b.N {
		if _, err := f.WriteAt(record, int64(i%100_000)*512); err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil { //nolint:gosec // a descriptor is small
			b.Fatal(err)
		}
		all = append(all, time.Since(begun))
	}
	reportPercentiles(b, all)
}

func reportPercentiles(b *testing.B, all []time.Duration) {
	slices.Sort(all)
	for _, percent := range []int{50, 99} {
		if len(all) > 0 {
			b.ReportMetric(float64(all[len(all)*percent/100].Microseconds()), fmt.Sprint("p", percent, "-us"))
		}
	}
}
