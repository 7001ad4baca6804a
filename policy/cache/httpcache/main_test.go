package httpcache

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

// TestMain fails if any goroutine outlives the tests.
func TestMain(m *testing.M) { policytest.Main(m) }

const (
	hit         = sharing.Hit
	miss        = sharing.Miss
	collapsed   = sharing.Collapsed
	stale       = sharing.Stale
	revalidated = sharing.Revalidated
	bypass      = sharing.Bypass
)
