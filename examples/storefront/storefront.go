// Package storefront is an example: a shop whose pages and chat are plain HTTP and whose API
// is gRPC, behind one gateway with one login.
package storefront

import (
	"context"
	"embed"
	"net"

	"google.golang.org/grpc"

	"github.com/transom-gateway/transom/examples/internal/process"
	pb "github.com/transom-gateway/transom/examples/storefront/protos/store/v1"
)

// Files holds what the gateway reads: transom.yaml, below "errors" its pages for browsers, and
// below "protos" the .proto files.
//
//go:embed transom.yaml errors/*.html protos/store/v1/*.proto
var Files embed.FS

// Serve runs the API at one listener and the site at another until ctx is done, which is no
// error, and closes both.
func Serve(ctx context.Context, api, site net.Listener) error {
	store := grpc.NewServer()
	pb.RegisterStoreServiceServer(store, newStore())
	return process.Servers(ctx, store, api, newSite(), site)
}
