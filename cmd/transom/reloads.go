package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/heap"
	"github.com/transom-gateway/transom/internal/sdnotify"
	"github.com/transom-gateway/transom/internal/watch"
)

// reloads keeps a gateway up to date with its inputs: on SIGHUP, when files
// change and when a server's reflection does.
type reloads struct {
	gateway *gateway.Gateway
	log     *slog.Logger
	wanted  chan struct{}
	hup     chan os.Signal
	notify  *sdnotify.Notifier // is told of those by SIGHUP
	// reloaded is told the configuration in service after each reload; nil for nobody.
	reloaded func(*config.File)
	// audit is told who caused a reload, what was in service before it, and what came of
	// it; nil for nobody.
	audit func(who string, before *gateway.ReloadStatus, change gateway.Change, err error)

	paths []string       // those that are watched
	files *watch.Watcher // nil while none is

	// abandoned: something still goes on with what is above and with the gateway, and
	// nobody waits for it. It belongs to the caller of start and await, not to that.
	abandoned bool
}

// newReloads makes one, which takes SIGHUP from here on until its end: a process that has not begun
// to serve, or that drains, is not ended by it.
func newReloads(g *gateway.Gateway, log *slog.Logger) *reloads {
	r := &reloads{gateway: g, log: log, wanted: make(chan struct{}, 1), hup: make(chan os.Signal, 1)}
	signal.Notify(r.hup, syscall.SIGHUP)
	return r
}

// want asks for a reload.
func (r *reloads) want() {
	select {
	case r.wanted <- struct{}{}:
	default: // one is waiting already
	}
}

// watch watches paths instead of those before. Read the files after it: what
// changes from here on leads to a reload.
func (r *reloads) watch(paths []string) {
	r.close()
	r.paths = paths
	if len(paths) == 0 {
		return
	}
	var err error
	if r.files, err = watch.New(paths, r.want); err != nil {
		r.log.Error("files are not watched; reload by SIGHUP or POST /reload", "error", err)
	}
}

// end ends the watch over files, then what uses the gateway by end. Nothing is touched that a
// reload may still use which has been given up.
func (r *reloads) end(end func()) {
	defer signal.Stop(r.hup)
	if r.abandoned {
		r.log.Warn("files are still being read that do not come; the process ends without them")
		return
	}
	r.close()
	end()
}

func (r *reloads) close() {
	if r.files != nil {
		_ = r.files.Close() // the process goes on or ends; there is nothing to do about it
		r.files = nil
	}
}

// endPatience is how long the end of the process waits for files that are being read:
// their file system may be stalled.
const endPatience = 2 * time.Second

// errAbandoned is the error of awaitFiles where it has left something behind.
var errAbandoned = errors.New("the process is to end, and files that it starts from do not come: is a file system stalled?")

// awaitFiles returns what f does, which reads files. When ctx ends, and f does not soon after,
// f is left behind.
func awaitFiles(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(endPatience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errAbandoned
	}
}

// await is awaitFiles for what uses the gateway or r.
func (r *reloads) await(ctx context.Context, f func() error) error {
	err := awaitFiles(ctx, f)
	r.abandoned = errors.Is(err, errAbandoned)
	return err
}

// start reloads whenever one is wanted. stop waits for the last one, but not for files
// that do not come.
func (r *reloads) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx, r.hup)
	}()
	return func() {
		cancel()
		_ = r.await(ctx, func() error { // that it gave up is what end asks for
			<-done
			return nil
		})
	}
}

func (r *reloads) run(ctx context.Context, hup <-chan os.Signal) {
	defer r.gateway.PollReflection(ctx, r.want)()
	for {
		r.follow()
		select {
		case <-ctx.Done():
			return
		case <-hup:
			logUntold(r.log, r.notify.Reloading())
			r.tell("SIGHUP", func() (gateway.Change, error) { return r.gateway.Reload(ctx) }) // which logs what is wrong
			logUntold(r.log, r.notify.Ready())
		case <-r.wanted:
			r.tell("a change of files or servers", func() (gateway.Change, error) { return r.gateway.Follow(ctx) }) // as above
		}
		if ctx.Err() != nil {
			return
		}
		if r.reloaded != nil {
			r.reloaded(r.gateway.Config())
		}
		heap.Limit(os.DirFS("/")) // the cgroup's may be another one by now
	}
}

// tell reloads, and has it written down.
func (r *reloads) tell(who string, reload func() (gateway.Change, error)) {
	before := r.gateway.Status()
	if change, err := reload(); r.audit != nil {
		r.audit(who, before, change, err)
	}
}

// follow watches other files if the configuration in service names others.
func (r *reloads) follow() {
	paths := r.gateway.Files()
	if slices.Equal(paths, r.paths) {
		return
	}
	r.watch(paths)
	r.want() // they were read before they were watched
}
