package secured

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
)

// grace is how long calls in flight may go on once a server is to stop.
const grace = 2 * time.Second

// ServeListener runs a new desk on a listener until ctx is done, which is no
// error, and closes the listener.
func ServeListener(ctx context.Context, listener net.Listener) error {
	server := grpc.NewServer()
	NewDesk().Register(server)
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
