// Command behaviour-servers runs the two servers of the example examples/behaviour, and the
// gateway in front of them.
//
//	go run ./examples/behaviour/cmd/behaviour-servers -gateway bin/transom    # all three
//	go run ./examples/behaviour/cmd/behaviour-servers                         # the servers, at localhost:50055 and localhost:3001
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/transom-gateway/transom/examples/behaviour"
	"github.com/transom-gateway/transom/examples/internal/process"
)

func main() {
	var o options
	flag.StringVar(&o.api, "api", "localhost:50055", "where the service that counts listens, host:port")
	flag.StringVar(&o.site, "site", "localhost:3001", "where the shop listens, host:port")
	flag.StringVar(&o.gateway, "gateway", "", "the transom `binary` to start in front of them; empty starts none")
	flag.StringVar(&o.config, "config", "examples/behaviour/transom.yaml", "the gateway's configuration `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "behaviour-servers:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct{ api, site, gateway, config string }

// run serves until ctx is done or the gateway ends.
func run(ctx context.Context, o options) error {
	var config net.ListenConfig
	api, err := config.Listen(ctx, "tcp", o.api)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w", o.api, err)
	}
	site, err := config.Listen(ctx, "tcp", o.site)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot listen at %s: %w", o.site, err), api.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- behaviour.Serve(ctx, api, site)
		cancel()
	}()
	fmt.Printf("The service that counts speaks gRPC at %s, the shop is at http://%s/.\n", api.Addr(), site.Addr())
	if o.gateway != "" {
		fmt.Println("Once the gateway listens, open http://localhost:8080 in two windows, and click.")
		err = process.Gateway{
			Binary: o.gateway, Args: []string{"--config", o.config}, Out: os.Stdout,
			Environment: []string{"CLICKS=" + api.Addr().String(), "SHOP=" + site.Addr().String()},
		}.Run(ctx)
		cancel()
	}
	return errors.Join(err, <-served)
}
