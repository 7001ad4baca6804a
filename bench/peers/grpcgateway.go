package peers

import (
	"context"
	"net"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// serveGRPCGateway is grpc-gateway as its documentation sets it up: generated
// handlers on a default ServeMux, one connection to the backend, no metrics.
func serveGRPCGateway(ctx context.Context, listener net.Listener, backends Backends) error {
	mux := runtime.NewServeMux()
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if err := benchv1.RegisterItemServiceHandlerFromEndpoint(ctx, mux, backends.GRPC, options); err != nil {
		return err
	}
	return serveHTTP(ctx, listener, mux)
}
