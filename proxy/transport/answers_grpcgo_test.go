package transport_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/grpcgo"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestAnswersByGRPCGo calls the same servers by the other proxy.Backend. It agrees with
// ours on the code, where grpc-go by itself does not too, and no text of its errors
// holds an address or what a server said that speaks no gRPC.
func TestAnswersByGRPCGo(t *testing.T) {
	for _, test := range answers {
		if test.theirs == codes.DeadlineExceeded {
			continue // it would wait for ever
		}
		t.Run(test.name, func(t *testing.T) {
			address := test.listen(t)
			conn, err := grpcgo.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: address})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			reply, err := conn.Backend(testLimit).Call(ctx, "/test.Test/Unary", nil, proxy.WrapFrame([]byte("hello")))
			reply.Message.Free()
			want := test.code
			if test.name == "a message before the header" {
				want = codes.Unimplemented // grpc-go takes it for the first of two answers
			}
			if strings.HasPrefix(test.name, "Traffic 171") {
				want = codes.Internal // grpc-go does not say that the server is leaving
			}
			// grpc-go may have widened the window in time, and reads several messages.
			several := test.name == "more than the window" && status.Code(err) == codes.Unimplemented
			if status.Code(err) != want && !several {
				t.Errorf("%v; want %v", err, want)
			}
			_, port, _ := net.SplitHostPort(address)
			for _, never := range []string{port, "127.0.0.1", "not here", "text/"} {
				if err != nil && strings.Contains(err.Error(), never) {
					t.Errorf("the error is %q, which has %q in it", err, never)
				}
			}
			told := test.name == "a status" || test.name == "trailers only" || test.name == "a status beyond the known" || test.name == "no status"
			if proxy.FromBackend(err) != told {
				t.Errorf("%v: from the backend itself: %v; want %v", err, !told, told)
			}
		})
	}
}
