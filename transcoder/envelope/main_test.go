package envelope_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if any goroutine outlives the tests. A server's connection that
// was closed on a client in the middle of a body waits half a second for it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}
