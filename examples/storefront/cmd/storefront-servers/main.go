// Command storefront-servers runs the two servers of the example examples/storefront, and the
// gateway in front of them.
//
//	go run ./examples/storefront/cmd/storefront-servers -gateway bin/transom    # all three
//	go run ./examples/storefront/cmd/storefront-servers                         # the servers, at localhost:50054 and localhost:3000
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/examples/storefront"
)

// grace is how long the gateway may take to end.
const grace = 40 * time.Second

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
		err = gateway(ctx, o, api.Addr().String(), site.Addr().String())
		cancel()
	}
	return errors.Join(err, <-served)
}

// gateway runs transom in front of the servers until it ends or ctx is done.
func gateway(ctx context.Context, o options, api, site string) error {
	transom := exec.CommandContext(ctx, o.gateway, "serve", "--config", o.config)
	transom.Env = append(os.Environ(), "STORE_API="+api, "STORE_SITE="+site)
	transom.Stdout, transom.Stderr = os.Stdout, os.Stderr
	transom.Cancel = func() error { return transom.Process.Signal(syscall.SIGTERM) }
	transom.WaitDelay = grace
	err := transom.Run()
	if ctx.Err() != nil {
		return nil // it was told to end
	}
	return fmt.Errorf("the gateway ended: %w", cmp.Or(err, errors.New("without a word")))
}

// say writes a line for the one who started us; whether they can read it is their business.
func say(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
