package attempt

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// BenchmarkUnused measures what a call that succeeds does beside being made: all that
// retry, circuit_breaker and the upstream's outlier add to it, and the same without them.
// The difference is what the policies cost, without the noise of a network.
func BenchmarkUnused(b *testing.B) {
	address := grpctest.ServeAny(b, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil && err != io.EOF {
			return err
		}
		return stream.SendMsg(new(emptypb.Empty))
	})
	outlier := upstream.Outlier{Consecutive: 5, FailurePercent: 50, MinCalls: 20, Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjectionPercent: 50}
	circuit := &Circuit{Breaker: breaker.New(breaker.Options{Percent: 50, MinCalls: 20, Window: 10 * time.Second, OpenFor: 5 * time.Second, Probes: 1}, nil)}
	for _, test := range []struct {
		name    string
		target  upstream.Target
		retry   *Retry
		circuit *Circuit
	}{
		{"bare", upstream.Target{Address: address}, nil, nil},
		{"policies", upstream.Target{Address: address, Outlier: outlier}, &Retry{Attempts: 3, Codes: []codes.Code{codes.Unavailable}, BudgetPercent: 20}, circuit},
	} {
		b.Run(test.name, func(b *testing.B) {
			conn, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(test.target)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Release()
			var turn upstream.Turn
			ctx := context.Background()
			reply, err := conn.Call(ctx, &turn, &transport.Request{Method: "/test.Test/Unary", Limit: 1 << 10})
			if err != nil {
				b.Fatal(err)
			}
			reply.Message.Free()
			g := NewGRPC(conn, 1<<10)
			if test.retry != nil {
				g = g.Retrying(test.retry).Breaking(test.circuit)
			}
			b.ReportAllocs()
			for b.Loop() {
				t := g.tries(ctx, nil)
				t.turn = turn
				if _, ok := t.ask(); !ok {
					b.Fatal("it is open")
				}
				within, cancel := t.begin(ctx)
				t.judge(ctx, within, nil)
				cancel()
			}
		})
	}
}
