package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Example is an API and a site behind a gateway, as a command runs it.
type Example struct {
	// Name is the command's.
	Name string
	// API and Site are where they listen, host:port, unless the command line says otherwise;
	// Config is the gateway's configuration.
	API, Site, Config string
	// APIVariable and SiteVariable are the variables of the configuration for their addresses.
	APIVariable, SiteVariable string
	// Serve runs the servers until ctx is done.
	Serve func(ctx context.Context, api, site net.Listener) error
	// Hint is what to do once the gateway listens.
	Hint string
}

// Main runs the example with the flags of the command line until it is interrupted. It ends the
// process with 1 where something fails.
func (e Example) Main() {
	flag.StringVar(&e.API, "api", e.API, "where the gRPC API listens, host:port")
	flag.StringVar(&e.Site, "site", e.Site, "where the site listens, host:port")
	flag.StringVar(&e.Config, "config", e.Config, "the gateway's configuration `file`")
	binary := flag.String("gateway", "", "the transom `binary` to start in front of them; empty starts none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := e.run(ctx, *binary); err != nil {
		fmt.Fprintln(os.Stderr, e.Name+":", err)
		os.Exit(1)
	}
}

// run serves until ctx is done or the gateway ends.
func (e Example) run(ctx context.Context, binary string) error {
	var config net.ListenConfig
	api, err := config.Listen(ctx, "tcp", e.API)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w", e.API, err)
	}
	site, err := config.Listen(ctx, "tcp", e.Site)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot listen at %s: %w", e.Site, err), api.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, api, site)
		cancel()
	}()
	fmt.Printf("The API speaks gRPC at %s, the site is at http://%s/.\n", api.Addr(), site.Addr())
	if binary != "" {
		fmt.Println(e.Hint)
		err = Gateway{
			Binary: binary, Args: []string{"--config", e.Config}, Out: os.Stdout,
			Environment: []string{e.APIVariable + "=" + api.Addr().String(), e.SiteVariable + "=" + site.Addr().String()},
		}.Run(ctx)
		cancel()
	}
	return errors.Join(err, <-served)
}
