package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/internal/sdnotify"
	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/server/sockets"
)

const (
	// handOverTime is how long a new process may take until it serves.
	handOverTime = 30 * time.Second
	// maxWhy is how much a new process may say of why it does not serve, in bytes.
	maxWhy = 64 << 10
)

// handOver gives the place of this process to a new one: on the same sockets, so that no
// connection is refused (Traffic 196).
type handOver struct {
	server ownSockets // nil until it listens
	notify *sdnotify.Notifier
	log    *slog.Logger
	end    context.CancelFunc // has this process end
	within time.Duration      // 0 for handOverTime

	busy sync.Mutex
	done bool
}

// ownSockets is a server as far as its sockets are handed over.
type ownSockets interface {
	// Draining reports whether it ends already.
	Draining() bool
	// Export copies the sockets, and says what the next process knows them by.
	Export() (names []string, files []*os.File, err error)
	// HandedOver leaves the sockets to the next process, which is told by released that it may
	// read those of UDP.
	HandedOver(released func())
	// Replaced writes down a hand-over by whom, and what came of it.
	Replaced(who string, pid int, err error)
}

var _ ownSockets = (*server.Server)(nil)

// Why there is no hand-over.
var (
	errFirstProcess = errors.New("this process is the first of its container, which ends with it: have the orchestrator replace the container instead")
	errUnderWay     = errors.New("a hand-over is under way already")
	errNotServing   = errors.New("the gateway does not serve, or not any more")
)

// run starts the program anew and waits until it serves. done has this process end; with an
// error it goes on.
func (h *handOver) run(ctx context.Context) (pid int, done func(), err error) {
	if os.Getpid() == 1 {
		return 0, nil, errFirstProcess
	}
	if !h.busy.TryLock() {
		return 0, nil, errUnderWay
	}
	defer h.busy.Unlock()
	if h.server == nil || h.done || h.server.Draining() {
		return 0, nil, errNotServing
	}
	next, err := h.start()
	if err != nil {
		return 0, nil, fmt.Errorf("the new process cannot be started: %w", err)
	}
	within := h.within
	if within == 0 {
		within = handOverTime
	}
	h.log.Info("a new process was started to take over", "pid", next.pid())
	if err := next.await(ctx, within); err != nil {
		h.log.Warn("the new process does not take over; this one goes on", "pid", next.pid(), "error", err)
		return 0, nil, err
	}
	h.done = true
	h.log.Info("the new process serves; this one ends when its calls have", "pid", next.pid())
	h.server.HandedOver(next.release)
	logUntold(h.log, h.notify.Main(next.pid()))
	h.notify.Mute()
	next.tell()
	return next.pid(), h.end, nil
}

// serves says that there is something to hand over.
func (h *handOver) serves(running ownSockets, log *slog.Logger) {
	h.busy.Lock()
	defer h.busy.Unlock()
	h.server, h.log = running, log
}

// onSignal hands over at SIGUSR2, until ctx ends. The gateway serves.
func (h *handOver) onSignal(ctx context.Context, usr2 <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-usr2:
			pid, done, err := h.run(ctx)
			h.server.Replaced("SIGUSR2", pid, err)
			if err != nil {
				h.log.Error("no hand-over at SIGUSR2", "error", err)
				continue
			}
			done()
		}
	}
}

// handOverSignals takes SIGUSR2, which would end a process that does not.
func handOverSignals() (usr2 chan os.Signal, stop func()) {
	usr2 = make(chan os.Signal, 1)
	signal.Notify(usr2, syscall.SIGUSR2)
	return usr2, func() { signal.Stop(usr2) }
}

// program is the file of this program as it is now: the one that it was started by may have been
// replaced, or may be a link to another one by now.
func program() (string, error) {
	if path, err := exec.LookPath(os.Args[0]); err == nil {
		return filepath.Abs(path)
	}
	return os.Executable()
}

// successor is a new process that is to take over.
type successor struct {
	cmd    *exec.Cmd
	ready  *os.File // what it says
	hold   *os.File // the other end of releasePipe
	once   sync.Once
	exited chan error
}

// start starts the program with the arguments and the environment of this process, and its
// sockets.
func (h *handOver) start() (_ *successor, err error) {
	path, err := program()
	if err != nil {
		return nil, err
	}
	names, files, err := h.server.Export()
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, f := range files {
			_ = f.Close() // the new process has its own
		}
	}()
	ready, tells, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	files = append(files, tells)
	released, hold, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, ready.Close())
	}
	files = append(files, released)
	next := &successor{ready: ready, hold: hold, exited: make(chan error, 1)}
	next.cmd = exec.Command(path, os.Args[1:]...) //nolint:gosec // it is this program
	next.cmd.Env = append(environment(), sockets.Environment(append(names, readyPipe, releasePipe))...)
	next.cmd.ExtraFiles = files
	next.cmd.Stdin, next.cmd.Stdout, next.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := next.cmd.Start(); err != nil {
		return nil, errors.Join(err, ready.Close(), hold.Close())
	}
	go func() { next.exited <- next.cmd.Wait() }()
	return next, nil
}

// environment is that of this process, but for what is for it alone.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return name == "WATCHDOG_PID" || slices.Contains(sockets.Variables, name)
	})
}

func (n *successor) pid() int { return n.cmd.Process.Pid }

// await waits until the process serves. One that does not is killed.
func (n *successor) await(ctx context.Context, within time.Duration) (err error) {
	defer func() {
		_ = n.ready.Close() // it was only read
		if err != nil {
			_ = n.cmd.Process.Kill() // it may have ended
			n.release()
		}
	}()
	said := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(n.ready, maxWhy)) // what was read before an error is all that there is
		said <- string(text)
	}()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case text := <-said:
		switch text {
		case readyWord:
			return nil
		case "":
			return n.ended(timer.C)
		}
		return errors.New("the new process: " + strings.TrimSpace(text))
	case <-timer.C:
		return fmt.Errorf("the new process did not serve within %v, and was killed", within)
	case <-ctx.Done():
		return errors.New("this process is to end; the new one was killed")
	}
}

// ended is the error of a process that has closed its pipe without a word.
func (n *successor) ended(late <-chan time.Time) error {
	select {
	case err := <-n.exited:
		if err == nil {
			return errors.New("the new process ended at once, and well; is it another program?")
		}
		return fmt.Errorf("the new process ended before it served: %w; its log says why", err)
	case <-late:
		return errors.New("the new process does not say whether it serves, and was killed; is it a version that cannot take over?")
	}
}

// tell tells the process that it is the service's main one.
func (n *successor) tell() { _, _ = n.hold.Write([]byte{1}) } // one that is gone needs no telling

// release tells the process that nobody else reads the UDP sockets.
func (n *successor) release() { n.once.Do(func() { _ = n.hold.Close() }) }
