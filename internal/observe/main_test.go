package observe

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing may be left running after Shutdown.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
