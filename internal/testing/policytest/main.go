package policytest

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests and fails if any goroutine outlives them. One of
// go-redis's may: after ten failures to connect it dials on by itself, and finds out a
// second later that its client is closed.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
