package unwell

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// beat is how often calls that are due are begun.
const beat = 2 * time.Millisecond

// Load is calls to make.
type Load struct {
	// Create calls the method that may have side effects, instead of the one
	// that has none.
	Create bool
	// First is the key of the first call; Calls is how many there are.
	First, Calls int
	// PerSecond is how many calls begin in a second, whatever became of those
	// before. Zero: Workers make one after the other.
	PerSecond int
	// Workers make calls at the same time where PerSecond is zero.
	Workers int
	// Timeout is each call's deadline. Default: 10 s.
	Timeout time.Duration
}

// Result is what clients saw.
type Result struct {
	Calls, Failed int
	// Codes counts the calls that failed.
	Codes map[codes.Code]int
	// Example is the error of one of them.
	Example error
	// Took is how long the whole took.
	Took time.Duration

	latencies []time.Duration // sorted, of all calls
}

// Quantile returns the latency that a share of the calls, such as 0.99, did
// not exceed.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(len(r.latencies)-1, int(q*float64(len(r.latencies))))]
}

// Failures says what failed, such as "12 UNAVAILABLE".
func (r *Result) Failures() string {
	var all []string
	for code, n := range r.Codes {
		all = append(all, fmt.Sprint(n, " ", code))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// caller makes the calls of a load.
type caller struct {
	load  Load
	conns []grpc.ClientConnInterface
	next  atomic.Int64

	mu     sync.Mutex
	result Result
}

// Call makes the calls of a load over connections in turn. The error is ctx's.
func Call(ctx context.Context, conns []grpc.ClientConnInterface, load Load) (*Result, error) {
	if load.Timeout == 0 {
		load.Timeout = 10 * time.Second
	}
	c := &caller{load: load, conns: conns, result: Result{Calls: load.Calls, Codes: map[codes.Code]int{}}}
	c.result.latencies = make([]time.Duration, 0, load.Calls)
	began := time.Now()
	if load.PerSecond > 0 {
		c.pace(ctx)
	} else {
		c.hurry(ctx)
	}
	c.result.Took = time.Since(began)
	slices.Sort(c.result.latencies)
	return &c.result, ctx.Err()
}

// hurry makes calls as fast as the workers can.
func (c *caller) hurry(ctx context.Context) {
	var workers sync.WaitGroup
	for range max(1, c.load.Workers) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(c.next.Add(1)) - 1
				if i >= c.load.Calls {
					return
				}
				c.call(ctx, i)
			}
		})
	}
	workers.Wait()
}

// pace begins calls at their time.
func (c *caller) pace(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	began := time.Now()
	for begun := 0; begun < c.load.Calls; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		due := int(time.Since(began).Seconds() * float64(c.load.PerSecond))
		due = min(due, c.load.Calls)
		for i := begun; i < due; i++ {
			calls.Go(func() { c.call(ctx, i) })
		}
		begun = due
	}
}

// call makes one call and notes what came of it.
func (c *caller) call(ctx context.Context, i int) {
	began := time.Now()
	err := c.make(ctx, i)
	took := time.Since(began)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.latencies = append(c.result.latencies, took)
	if err != nil {
		c.result.Failed++
		c.result.Codes[status.Code(err)]++
		c.result.Example = err
	}
}

func (c *caller) make(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, c.load.Timeout)
	defer cancel()
	key := strconv.Itoa(c.load.First + i)
	client := benchv1.NewItemServiceClient(c.conns[i%len(c.conns)])
	var item *benchv1.Item
	var err error
	if c.load.Create {
		item, err = client.CreateItem(ctx, &benchv1.Item{Id: key})
	} else {
		item, err = client.GetItem(ctx, &benchv1.GetItemRequest{Id: key})
	}
	if err == nil && item.GetId() != key {
		return fmt.Errorf("the answer to call %s is that to call %q", key, item.GetId())
	}
	return err
}
