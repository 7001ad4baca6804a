package attempt_test

import (
	"testing"

	"github.com/transom-gateway/transom/proxy/attempt"
)

// BenchmarkCall measures a unary call that succeeds, with and without a Retry: the
// allocations should be the same.
func BenchmarkCall(b *testing.B) {
	server := &scripted{}
	conn := connect(b, server.start(b))
	r := usual()
	for name, g := range map[string]*attempt.GRPC{"plain": attempt.NewGRPC(conn, 1<<20), "retry": attempt.NewGRPC(conn, 1<<20).Retrying(&r)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				reply, err := g.Call(b.Context(), "/test.Test/Unary", nil, message("x"))
				if err != nil {
					b.Fatal(err)
				}
				reply.Message.Free()
			}
		})
	}
}
