package httpbackend_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if any goroutine outlives the tests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
