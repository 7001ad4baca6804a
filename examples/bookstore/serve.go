package bookstore

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// grace is how long calls in flight may go on once a server is to stop.
const grace = 2 * time.Second

// Serve runs a new server at addr ("host:port") until ctx is done, which is
// no error. The error names the address where it cannot listen.
func Serve(ctx context.Context, addr string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("the bookstore cannot listen at %s: %w", addr, err)
	}
	return ServeListener(ctx, listener)
}

// ServeListener runs a new server on a listener until ctx is done, and closes
// the listener. Besides the bookstore it answers reflection and health.
func ServeListener(ctx context.Context, listener net.Listener) error {
	server := grpc.NewServer()
	NewServer().Register(server)
	checks := health.NewServer()
	checks.SetServingStatus(pb.BookstoreService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, checks)
	reflection.Register(server)
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		force := time.AfterFunc(grace, server.Stop)
		defer force.Stop()
		server.GracefulStop()
	})
	err := server.Serve(listener)
	if !release() {
		<-stopped
		return nil
	}
	return err
}
