package main

import (
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/transom-gateway/transom/internal/sdnotify"
	"github.com/transom-gateway/transom/internal/server/sockets"
)

// What the process before this one hands over beside sockets.
const (
	readyPipe   = "ready"   // to be told that this process serves, or why it cannot
	releasePipe = "release" // tells that this process is the main one, and by its end that UDP is free
)

// readyWord is what a process says that serves.
const readyWord = "ready\n"

// supervision ties this process to those that started it: the manager of services, and the process
// whose place it takes.
type supervision struct {
	sockets *sockets.Set
	notify  *sdnotify.Notifier
	// released is closed when the process before has let go of UDP; nil where there was none.
	released chan struct{}
	ready    *os.File // nil for nobody who waits
}

// supervised takes what came with the process.
func supervised() (*supervision, error) {
	set, err := sockets.Inherited()
	if err != nil {
		return nil, err
	}
	v := &supervision{sockets: set}
	if v.notify, err = sdnotify.FromEnvironment(); err != nil {
		return nil, err
	}
	if !set.Successor() {
		return v, nil
	}
	v.ready, v.released = set.Take(readyPipe), make(chan struct{})
	release := set.Take(releasePipe)
	if v.ready == nil || release == nil {
		return nil, errors.New("the process before this one has handed over no pipes; was it another version? Stop it and start this one")
	}
	v.notify.Mute()
	go v.follow(release)
	return v, nil
}

// follow follows what the process before says.
func (v *supervision) follow(release *os.File) {
	defer close(v.released)
	defer func() { _ = release.Close() }() // it was only read
	if _, err := release.Read(make([]byte, 1)); err != nil {
		return // it is gone before it said anything
	}
	v.notify.Unmute()
	_ = v.notify.Ready() // the manager knows that the service is
	_, _ = io.Copy(io.Discard, release)
}

// serves tells that this process serves now.
func (v *supervision) serves(log *slog.Logger) {
	if v.ready == nil {
		logUntold(log, v.notify.Ready())
		return
	}
	_, err := io.WriteString(v.ready, readyWord)
	logUntold(log, errors.Join(err, v.ready.Close()))
	v.ready = nil
}

// failed tells the process before this one why this one does not serve.
func (v *supervision) failed(why error) {
	if v.ready == nil || why == nil {
		return
	}
	_, _ = io.WriteString(v.ready, why.Error()) // it is written to the log, too
	_ = v.ready.Close()
}

// logUntold logs that somebody could not be told how this process is.
func logUntold(log *slog.Logger, err error) {
	if err != nil {
		log.Warn("whoever started this process cannot be told how it is", "error", err)
	}
}
