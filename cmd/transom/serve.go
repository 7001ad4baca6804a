package main

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/heap"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/proxy/attempt"
)

func newServe(s streams) *cobra.Command {
	var in input
	c := &cobra.Command{
		Use:   "serve [FOLDER...]",
		Short: "Serve gRPC services over HTTP, and routes to plain HTTP servers",
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

// serve runs a gateway until ctx ends or another process has its place. started, if not nil, is
// told where it listens once it does.
func serve(ctx context.Context, load func() (*config.File, error), s streams, started func(*server.Server)) error {
	usr2, stop := handOverSignals()
	defer stop()
	v, err := supervised()
	if err != nil {
		return problem(err)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	err = v.serve(ctx, &handOver{notify: v.notify, end: end}, usr2, load, s, started)
	v.failed(err)
	return err
}

// serve is serve, under those that started the process.
func (v *supervision) serve(ctx context.Context, h *handOver, usr2 <-chan os.Signal, load func() (*config.File, error), s streams, started func(*server.Server)) error {
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer unwatch()
	go v.notify.Watch(watched)
	var file *config.File
	var telemetry *observe.Telemetry
	err := awaitFiles(ctx, func() (err error) {
		file, telemetry, err = configured(ctx, load, s)
		return err
	})
	if err != nil {
		return problem(err)
	}
	defer telemetry.AdoptLibraries()()
	not := server.NewNotReloaded(telemetry)
	guard := overload.New(overload.Options{Log: telemetry.Log, Saves: attempt.Save})
	g := gateway.New(gateway.Options{Overload: guard, Load: load, Telemetry: telemetry, Version: version, NotReloaded: not.Set, NeverRead: not.SetNeverRead, Sinks: eventSinks})
	g.AwaitServers()
	reloads := newReloads(g, telemetry.Log)
	reloads.notify = v.notify
	defer reloads.end(g.Close)
	var first gateway.Change
	err = reloads.await(ctx, func() (err error) {
		reloads.watch(gateway.Inputs(file)) // before they are read: no change falls between
		first, err = g.Reload(ctx)
		return err
	})
	if err != nil {
		return problem(err)
	}
	runtime.GC() // what compiling took is not live any more
	defer heap.Pace(heap.Floor)()
	if limit := heap.Limit(os.DirFS("/")); limit > 0 {
		telemetry.Log.Info("memory limit from the cgroup", "bytes", limit)
	}
	defer guard.Start()()
	telemetry.Metrics.SetOverload(guard)
	var running *server.Server
	err = reloads.await(ctx, func() (err error) {
		running, err = server.Listen(server.Options{
			File: file, Gateway: g, Telemetry: telemetry, Overload: guard, NotReloaded: not, Version: version,
			Sockets: v.sockets, Released: v.released, Upgrade: h.run,
			Where: func(path string) string { return where(file, path) },
		})
		return err
	})
	if err != nil {
		return problem(err)
	}
	g.LogInService()
	reloads.reloaded, reloads.audit = running.Compare, running.Reloaded
	if v.released != nil { // the line of the process before says what was in service
		running.Reloaded("upgrade", nil, first, nil)
	}
	defer reloads.start(ctx)()
	h.serves(running, telemetry.Log)
	running.Start()
	go h.onSignal(ctx, usr2)
	for i, address := range running.Addresses() {
		c := file.Config.GetListeners()[i]
		telemetry.Log.Info("listening", "address", reachedAt("", address), "tls", c.GetTls() != nil, "http3", c.GetHttp3())
	}
	if address := running.Admin(); address != nil {
		scheme := "http://"
		if file.Config.GetAdmin().GetTls() != nil {
			scheme = "https://"
		}
		telemetry.Log.Info("admin", "address", reachedAt(scheme, address))
	}
	v.serves(telemetry.Log)
	if started != nil {
		started(running)
	}
	err = problem(running.Wait(ctx))
	logUntold(telemetry.Log, v.notify.Stopping())
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), file.Config.GetShutdownTimeout().AsDuration())
	defer cancel()
	return errors.Join(err, problem(running.Shutdown(shutdown)), problem(telemetry.Shutdown(shutdown)))
}

// configured reads the configuration, and begins to log as it says.
func configured(ctx context.Context, load func() (*config.File, error), s streams) (*config.File, *observe.Telemetry, error) {
	file, err := load()
	if err != nil {
		return nil, nil, allWrong(ctx, load, err)
	}
	telemetry, err := observe.Setup(file.Config.GetTelemetry(), version, s.err)
	return file, telemetry, err
}

// allWrong adds to what is wrong with the configuration what is wrong with the
// protos, as check does.
func allWrong(ctx context.Context, load func() (*config.File, error), wrong error) error {
	telemetry, err := quietTelemetry()
	if err != nil {
		return wrong
	}
	g := gateway.New(gateway.Options{Load: load, Telemetry: telemetry, Version: version, Offline: true, Sinks: eventSinks})
	defer g.Close()
	if _, all := g.Reload(ctx); all != nil {
		return all
	}
	return wrong // it was mended meanwhile
}

// reachedAt is how clients write where a listener is: by a URL where scheme is one, or by the path of a unix socket.
func reachedAt(scheme string, at net.Addr) string {
	if at.Network() == "unix" {
		return "unix:" + at.String()
	}
	return scheme + at.String()
}
