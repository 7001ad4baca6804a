// Package behaviour is an example: a shop's page tells what its visitors click on, a gRPC service
// counts it, and the page shows the counts as they change.
package behaviour

import (
	"context"
	"embed"
	"net"
	"net/http"

	"google.golang.org/grpc"

	pb "github.com/transom-gateway/transom/examples/behaviour/protos/clicks/v1"
	"github.com/transom-gateway/transom/examples/internal/process"
)

// Files holds what the gateway reads: its configurations, and below "protos" the .proto files.
//
//go:embed transom*.yaml protos/clicks/v1/*.proto
var Files embed.FS

//go:embed shop.html
var page []byte

// Serve runs the service that counts at one listener and the shop at another until ctx is
// done, which is no error, and closes both.
func Serve(ctx context.Context, api, site net.Listener) error {
	service := grpc.NewServer()
	pb.RegisterClicksServiceServer(service, newClicks())
	shop := http.NewServeMux()
	shop.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // a visitor who has gone needs no page
	})
	return process.Servers(ctx, service, api, shop, site)
}
