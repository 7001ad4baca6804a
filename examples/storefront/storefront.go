// Package storefront is an example: a shop whose pages and chat are plain HTTP and whose API
// is gRPC, behind one gateway with one login.
package storefront

import (
	"context"
	"embed"
	"errors"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"

	pb "github.com/transom-gateway/transom/examples/storefront/protos/store/v1"
)

// Files holds what the gateway reads: transom.yaml, below "errors" its pages for browsers, and
// below "protos" the .proto files.
//
//go:embed transom.yaml errors/*.html protos/store/v1/*.proto
var Files embed.FS

// grace is how long requests under way may go on once the servers are to stop.
const grace = 2 * time.Second

// Serve runs the API at one listener and the site at another until ctx is done, which is no
// error, and closes both.
func Serve(ctx context.Context, api, site net.Listener) error {
	grpcServer := grpc.NewServer()
	pb.RegisterStoreServiceServer(grpcServer, newStore())
	httpServer := &http.Server{Handler: newSite(), ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		late, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		force := time.AfterFunc(grace, grpcServer.Stop)
		defer force.Stop()
		_ = httpServer.Shutdown(late) // what is late is cut off
		_ = httpServer.Close()
		grpcServer.GracefulStop()
	})
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(site) }()
	err := grpcServer.Serve(api)
	if release() { // it failed by itself
		_ = httpServer.Close()
		return errors.Join(err, <-failed)
	}
	<-stopped
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
