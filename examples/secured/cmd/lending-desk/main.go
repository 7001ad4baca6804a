// Command lending-desk runs the backend of the example examples/secured, and
// the gateway in front of it.
//
//	go run ./examples/secured/cmd/lending-desk -gateway bin/transom    # both
//	go run ./examples/secured/cmd/lending-desk                         # the backend, at localhost:50052
//
// Before it starts a gateway it makes the secret that tokens are signed with,
// where there is none. What follows the flags goes to `transom serve`.
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

	"github.com/transom-gateway/transom/examples/secured"
)

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "localhost:50052", "where the desk listens, host:port")
	flag.StringVar(&o.gateway, "gateway", "", "the transom `binary` to start in front of it; empty starts none")
	flag.StringVar(&o.config, "config", "examples/secured/transom.yaml", "the gateway's configuration `file`")
	flag.Parse()
	o.args = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lending-desk:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	addr, gateway, config string
	args                  []string
}

// run serves until ctx is done or the gateway ends.
func run(ctx context.Context, o options, out io.Writer) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w", o.addr, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	desk := make(chan error, 1)
	go func() {
		desk <- secured.ServeListener(ctx, listener)
		cancel()
	}()
	say(out, "The lending desk speaks gRPC at %s.\n", listener.Addr())
	if o.gateway != "" {
		err = gateway(ctx, o, listener.Addr().String(), out)
		cancel()
	}
	return errors.Join(err, <-desk)
}

// say writes a line for the one who started us; whether they can read it is
// their business.
func say(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
