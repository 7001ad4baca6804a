// Command storefront-servers runs the two servers of the example examples/storefront, and the
// gateway in front of them.
//
//	go run ./examples/storefront/cmd/storefront-servers -gateway bin/transom    # all three
//	go run ./examples/storefront/cmd/storefront-servers                         # the servers, at localhost:50054 and localhost:3000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/transom-gateway/transom/examples/internal/process"
	"github.com/transom-gateway/transom/examples/storefront"
)

func main() {
	var o options
	flag.StringVar(&o.api, "api", "localhost:50054", "where the gRPC API listens, host:port")
	flag.StringVar(&o.site, "site", "localhost:3000", "where the site listens, host:port")
	flag.StringVar(&o.gateway, "gateway", "", "the transom `binary` to start in front of them; empty starts none")
	flag.StringVar(&o.config, "config", "examples/storefront/transom.yaml", "the gateway's configuration `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "storefront-servers:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct{ api, site, gateway, config string }

// run serves until ctx is done or the gateway ends.
func run(ctx context.Context, o options, out io.Writer) error {
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
		served <- storefront.Serve(ctx, api, site)
		cancel()
	}()
	say(out, "The store's API speaks gRPC at %s, its site is at http://%s/site/.\n", api.Addr(), site.Addr())
	if o.gateway != "" {
		say(out, "Once the gateway listens, open http://localhost:8080 and log in as ada, with the password lighthouse.\n")
		err = process.Gateway{
			Binary: o.gateway, Args: []string{"--config", o.config}, Out: out,
			Environment: []string{"STORE_API=" + api.Addr().String(), "STORE_SITE=" + site.Addr().String()},
		}.Run(ctx)
		cancel()
	}
	return errors.Join(err, <-served)
}

// say writes a line for the one who started us; whether they can read it is their business.
func say(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
