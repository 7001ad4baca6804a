package poll_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

func TestWithin(t *testing.T) {
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Second / 2, true}, {time.Second, true}, {2 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			got := poll.Within(time.Second, func() bool { return time.Since(start) >= test.after })
			if took := time.Since(start); got != test.want || took > time.Second || took > test.after+time.Second/2 {
				t.Errorf("after %s: %v, in %s", test.after, got, took)
			}
		})
	}
}
