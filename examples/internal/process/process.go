// Package process starts what examples consist of: their servers, and the gateway in front of them.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"google.golang.org/grpc"
)

const (
	// serverGrace is how long requests under way may go on once servers are to stop, and
	// gatewayGrace how long the gateway may take to end.
	serverGrace  = 2 * time.Second
	gatewayGrace = 40 * time.Second
)

// Servers runs a gRPC API at one listener and a site at another until ctx is done, which is no
// error, and closes both.
func Servers(ctx context.Context, api *grpc.Server, at net.Listener, site http.Handler, siteAt net.Listener) error {
	pages := &http.Server{Handler: site, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		late, cancel := context.WithTimeout(context.Background(), serverGrace)
		defer cancel()
		force := time.AfterFunc(serverGrace, api.Stop)
		defer force.Stop()
		_ = pages.Shutdown(late) // what is late is cut off
		_ = pages.Close()
		api.GracefulStop()
	})
	failed := make(chan error, 1)
	go func() { failed <- pages.Serve(siteAt) }()
	err := api.Serve(at)
	if release() { // it failed by itself
		_ = pages.Close()
		return errors.Join(err, <-failed)
	}
	<-stopped
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Gateway is a transom in front of an example.
type Gateway struct {
	// Binary is the program, and Args what follows "serve".
	Binary string
	Args   []string
	// Environment is set besides that of this process, as NAME=value.
	Environment []string
	// Out takes what it writes to its standard output.
	Out io.Writer
}

// Run runs it until it ends, or until ctx is done, which is no error.
func (g Gateway) Run(ctx context.Context) error {
	transom := exec.CommandContext(ctx, g.Binary, append([]string{"serve"}, g.Args...)...)
	transom.Env = append(os.Environ(), g.Environment...)
	transom.Stdout, transom.Stderr = g.Out, os.Stderr
	transom.Cancel = func() error { return transom.Process.Signal(syscall.SIGTERM) }
	transom.WaitDelay = gatewayGrace
	err := transom.Run()
	if ctx.Err() != nil {
		return nil // it was told to end
	}
	return fmt.Errorf("the gateway ended: %w", cmp.Or(err, errors.New("without a word")))
}
