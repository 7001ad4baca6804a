package overload

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

// TestMain fails if any goroutine outlives the tests.
func TestMain(m *testing.M) { policytest.Main(m) }
