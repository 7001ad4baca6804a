// Package transom runs grpc-gateway's own example server and the gateway that
// grpc-gateway generated for it, with the default ServeMux, inside a test. It
// knows nothing of Transom.
//
// The examples are internal packages. Its module path lies below theirs, for
// that is whom Go lets import them; it is found by a replace directive alone.
//
//	handler, err := transom.Gateway(ctx, conn)
package transom

import (
	"context"
	"net"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/examples/internal/proto/examplepb"
	"github.com/grpc-ecosystem/grpc-gateway/v2/examples/internal/server"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
)

// Protos are the files of the example services, below the module's folder.
var Protos = []string{
	"examples/internal/proto/examplepb/a_bit_of_everything.proto",
	"examples/internal/proto/examplepb/echo_service.proto",
	"examples/internal/proto/examplepb/flow_combination.proto",
	"examples/internal/proto/examplepb/non_standard_names.proto",
	"examples/internal/proto/examplepb/response_body_service.proto",
	"examples/internal/proto/examplepb/stream.proto",
	"examples/internal/proto/oneofenum/oneof_enum.proto",
	"examples/internal/proto/pathenum/path_enum.proto",
	"examples/internal/proto/sub/message.proto",
	"examples/internal/proto/sub2/message.proto",
}

// Serve runs the example server until the context ends. The listener stays the
// caller's. The error is that of the gRPC server.
func Serve(ctx context.Context, l net.Listener) error {
	return server.ServeGRPC(ctx, l)
}

// Gateway returns the generated handlers of the services in Protos on a
// ServeMux with nothing set.
func Gateway(ctx context.Context, conn *grpc.ClientConn) (http.Handler, error) {
	mux := runtime.NewServeMux()
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		examplepb.RegisterEchoServiceHandler,
		examplepb.RegisterStreamServiceHandler,
		examplepb.RegisterABitOfEverythingServiceHandler,
		examplepb.RegisterFlowCombinationHandler,
		examplepb.RegisterNonStandardServiceHandler,
		examplepb.RegisterResponseBodyServiceHandler,
	} {
		if err := register(ctx, mux, conn); err != nil {
			return nil, err
		}
	}
	return mux, nil
}
