package tier

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

func TestMain(m *testing.M) { policytest.Main(m) }
