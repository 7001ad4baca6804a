package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/watch"
)

func newServe(s streams) *cobra.Command {
	var in input
	c := &cobra.Command{
		Use:   "serve [FOLDER...]",
		Short: "Serve gRPC services over HTTP",
		Example: `  transom serve ./protos --upstream localhost:50051
  transom serve --reflect --upstream localhost:50051
  transom serve --config transom.yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := in.check(args); err != nil {
				return err
			}
			if in.config == "" && in.upstream == "" {
				return errors.New("serve needs --upstream: where do the services live?")
			}
			return serve(c.Context(), in.load, s, nil)
		},
	}
	in.flags(c)
	in.listenFlags(c)
	return c
}

// serve runs a gateway until ctx ends. started, if not nil, is told where it
// listens once it does.
func serve(ctx context.Context, load func() (*config.File, error), s streams, started func(*server)) error {
	file, err := load()
	if err != nil {
		return problem(err)
	}
	telemetry, err := observe.Setup(file.Config.GetTelemetry(), version, s.err)
	if err != nil {
		return problem(err)
	}
	g := gateway.New(gateway.Options{Load: load, Telemetry: telemetry, Version: version})
	defer g.Close()
	if _, err := g.Reload(ctx); err != nil {
		return problem(err)
	}
	runtime.GC() // what compiling took is not live any more
	tuneMemory()
	server, err := listen(file, g, telemetry)
	if err != nil {
		return problem(err)
	}
	defer startReloads(ctx, g, telemetry)()
	server.start()
	for _, l := range server.listeners {
		telemetry.Log.Info("listening", "address", l.Addr().String(), "tls", l.tls != nil)
	}
	if server.admin != nil {
		telemetry.Log.Info("admin", "address", "http://"+server.admin.Addr().String())
	}
	if started != nil {
		started(server)
	}
	err = server.wait(ctx)
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), file.Config.GetShutdownTimeout().AsDuration())
	defer cancel()
	return errors.Join(err, server.shutdown(shutdown), telemetry.Shutdown(shutdown))
}

// startReloads reloads on SIGHUP, when files change and when a server's
// reflection does. stop waits for the last one.
func startReloads(ctx context.Context, g *gateway.Gateway, t *observe.Telemetry) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	wanted := make(chan struct{}, 1)
	want := func() {
		select {
		case wanted <- struct{}{}:
		default: // one is waiting already
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		files := watchFiles(g, t, want)
		defer func() { files.close() }()
		poll := g.PollReflection(ctx, want)
		defer poll()
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
			case <-wanted:
			}
			if _, err := g.Reload(ctx); err == nil {
				tuneMemory()
				files = files.follow(g, t, want)
			}
		}
	}()
	return func() {
		signal.Stop(hup)
		cancel()
		<-done
	}
}

// watched is a watch over the files of the configuration in service.
type watched struct {
	paths []string
	watch *watch.Watcher
}

func watchFiles(g *gateway.Gateway, t *observe.Telemetry, want func()) *watched {
	w := &watched{paths: g.Files()}
	if len(w.paths) == 0 {
		return w
	}
	var err error
	if w.watch, err = watch.New(w.paths, want); err != nil {
		t.Log.Error("files are not watched; reload by SIGHUP or POST /reload", "error", err)
	}
	want() // what changed between reading the files and watching them was not seen
	return w
}

func (w *watched) close() {
	if w.watch != nil {
		_ = w.watch.Close() // the process goes on or ends; there is nothing to do about it
	}
}

// follow watches other files if the configuration names others now.
func (w *watched) follow(g *gateway.Gateway, t *observe.Telemetry, want func()) *watched {
	if fmt.Sprint(w.paths) == fmt.Sprint(g.Files()) {
		return w
	}
	w.close()
	return watchFiles(g, t, want)
}
