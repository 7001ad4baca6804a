package resilient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Callers are clients of the gateway who call all the time.
type Callers struct {
	// URL is the gateway's.
	URL string
	// PerSecond is how many calls begin in a second.
	PerSecond int

	calls, errors atomic.Int64
	slowest       atomic.Int64 // in nanoseconds, since it was asked last
	lastError     atomic.Pointer[string]
}

// Run calls until ctx is done, and returns when all calls have ended.
func (c *Callers) Run(ctx context.Context) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(time.Second / time.Duration(c.PerSecond))
	defer ticker.Stop()
	var calls sync.WaitGroup
	defer calls.Wait()
	for n := 0; ; n++ {
		select {
		case <-ticker.C:
			calls.Go(func() { c.call(client, n) })
		case <-ctx.Done():
			return
		}
	}
}

// call makes one call: every fourth sets a buoy, the others read a tide. It is made to
// its end, also when Run is to end.
func (c *Callers) call(client *http.Client, n int) {
	method, path, body := http.MethodGet, "/v1/harbours/troon/tide", ""
	if n%4 == 0 {
		method, path, body = http.MethodPut, "/v1/harbours/troon/buoys/7", `{"latitude": 55.55, "longitude": -4.68}`
	}
	began := time.Now()
	err := send(client, method, c.URL+path, body)
	took := int64(time.Since(began))
	for slowest := c.slowest.Load(); took > slowest && !c.slowest.CompareAndSwap(slowest, took); slowest = c.slowest.Load() {
	}
	c.calls.Add(1)
	if err != nil {
		c.errors.Add(1)
		text := err.Error()
		c.lastError.Store(&text)
	}
}

func send(client *http.Client, method, url, body string) error {
	r, err := http.NewRequest(method, url, strings.NewReader(body)) //nolint:noctx // the client's timeout bounds it, and it is not to end early
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // it was read to its end
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s %s", method, url, response.Status, text)
	}
	return err
}

// Calls is how many calls have ended.
func (c *Callers) Calls() int64 { return c.calls.Load() }

// Errors is how many of them failed.
func (c *Callers) Errors() int64 { return c.errors.Load() }

// LastError is what the last call that failed had, "" if none did.
func (c *Callers) LastError() string {
	if text := c.lastError.Load(); text != nil {
		return *text
	}
	return ""
}

// Slowest is how long the slowest call took since Slowest was called last.
func (c *Callers) Slowest() time.Duration { return time.Duration(c.slowest.Swap(0)) }

// Await waits until the gateway answers.
func (c *Callers) Await(ctx context.Context) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for {
		err := send(client, http.MethodGet, c.URL+"/v1/harbours/troon/tide", "")
		if err == nil {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%w; the last answer: %w", ctx.Err(), err)
		}
	}
}
