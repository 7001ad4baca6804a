package pages

import (
	"flag"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var tailTime = flag.Duration("console-tail-time", 3*time.Second, "how long TestConsoleTail watches calls")

// TestConsoleTail: Surface 242: where somebody watches 1,000 calls a second, what the page and the gateway keep of them does not grow.
// It is made for long times: make console-tail.
func TestConsoleTail(t *testing.T) {
	g, page := startConsole(t)
	page.at(t, "#/live", "Live")
	page.awaits(t, "main .lead", "watching")
	callers := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer callers.CloseIdleConnections()
	var calls atomic.Int64
	call := func() {
		answer, err := callers.Get(g.URL + "/v1/shelves")
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, answer.Body) // the status says it
		_ = answer.Body.Close()
		calls.Add(1)
	}
	run := func(d time.Duration) {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		var all sync.WaitGroup
		busy := make(chan struct{}, 16) // a slow machine makes fewer calls
		for end := time.Now().Add(d); time.Now().Before(end); <-ticker.C {
			for range 10 {
				select {
				case busy <- struct{}{}:
					all.Go(func() { call(); <-busy })
				default:
				}
			}
		}
		all.Wait()
	}
	kept := func() (inPage, inGateway float64) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return page.Heap(t), float64(m.HeapAlloc)
	}
	run(2*time.Second + *tailTime/10) // all that is bounded is full
	page.awaits(t, "main .lead", "the last 200 calls")
	inPage, inGateway := kept()
	began, before := time.Now(), calls.Load()
	run(*tailTime)
	rate := float64(calls.Load()-before) / time.Since(began).Seconds()
	inPageAfter, inGatewayAfter := kept()
	t.Logf("%.0f calls a second for %s: the page's heap was %.2f MB and is %.2f MB, the process's with the gateway %.2f MB and %.2f MB",
		rate, *tailTime, inPage/1e6, inPageAfter/1e6, inGateway/1e6, inGatewayAfter/1e6)
	// The history of calls is kept for a quarter of an hour, in 2 MB at most.
	if inPageAfter > inPage*1.05+1e6 || inGatewayAfter > inGateway*1.05+3e6 {
		t.Error("what is kept grows")
	}
	page.awaits(t, "main .lead", "the last 200 calls")
}
