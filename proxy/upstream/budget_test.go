package upstream_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestBudgetOfAnyWindow: Traffic 75: in any 10 s, whenever they begin, retries are at most
// a fifth of the calls and 10 a second, and not much fewer where more are wanted.
func TestBudgetOfAnyWindow(t *testing.T) {
	const (
		step    = 10 * time.Millisecond
		perStep = 10
		steps   = 3500
		window  = int(10 * time.Second / step)
	)
	for _, offset := range []time.Duration{0, 130 * time.Millisecond, 500 * time.Millisecond, 990 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(offset)
			var b upstream.Budget
			retries := make([]int, steps+1) // before each step
			for i := range steps {
				retries[i+1] = retries[i]
				for range perStep {
					b.Began()
					for range 2 {
						if b.Take(20) {
							retries[i+1]++
						}
					}
				}
				time.Sleep(step)
			}
			for i := range steps - window + 1 {
				n := retries[i+window] - retries[i]
				if most := window*perStep/5 + 100; n > most || n < most*9/10 {
					t.Fatalf("from %v on, 10 s had %d retries of %d calls, want %d or a little less", offset+time.Duration(i)*step, n, window*perStep, most)
				}
			}
		})
	}
}
