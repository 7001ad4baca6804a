package envelope_test

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestEdgesByGRPCGo runs the tests of this package, of gRPC, gRPC-Web and Connect, once more
// with grpc-go's client towards the backend, which must not change an answer.
func TestEdgesByGRPCGo(t *testing.T) {
	gatewaytest.RunWithClient(t, "GRPC_GO", "^Test")
}
