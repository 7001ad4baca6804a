// Package sdnotify tells the manager of services that started this process, such as systemd,
// how it is, by the protocol of sd_notify(3). It knows nothing of what the process does.
//
//	n, err := sdnotify.FromEnvironment()
//	n.Ready()
//	go n.Watch(ctx)
package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier tells a manager of services. A nil Notifier has none. It is safe for concurrent
// use.
type Notifier struct {
	conn  *net.UnixConn
	every time.Duration // between signs of life; 0 for none
	muted atomic.Bool
}

// FromEnvironment is the notifier for the socket of NOTIFY_SOCKET; nil where there is none.
func FromEnvironment() (*Notifier, error) { return from(os.LookupEnv) }

func from(lookup func(string) (string, bool)) (*Notifier, error) {
	name, ok := lookup("NOTIFY_SOCKET")
	if !ok || name == "" {
		return nil, nil //nolint:nilnil // nobody wants to be told
	}
	if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "@") {
		return nil, fmt.Errorf("NOTIFY_SOCKET: found %q, expected the path of a unix socket, or @ and the name of an abstract one", name)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := &Notifier{conn: conn}
	if n.every, err = watchdog(lookup); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return n, nil
}

// watchdog is how often the manager wants a sign of life: in half the time after which it takes
// the process for hung (sd_watchdog_enabled(3)).
func watchdog(lookup func(string) (string, bool)) (time.Duration, error) {
	text, ok := lookup("WATCHDOG_USEC")
	if pid, of := lookup("WATCHDOG_PID"); !ok || text == "" || of && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	us, err := strconv.ParseInt(text, 10, 52)
	if err != nil || us <= 0 {
		return 0, fmt.Errorf("WATCHDOG_USEC: found %q, expected microseconds", text)
	}
	return time.Duration(us) * time.Microsecond / 2, nil
}

// Mute has nothing told until Unmute: another process speaks for the service.
func (n *Notifier) Mute() {
	if n != nil {
		n.muted.Store(true)
	}
}

// Unmute ends Mute.
func (n *Notifier) Unmute() {
	if n != nil {
		n.muted.Store(false)
	}
}

// Ready tells that the service is, after its start or after a reload.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Reloading tells that the configuration is read again. Ready ends it.
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("the monotonic clock: %w", err)
	}
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping tells that the service ends.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Main tells that another process is the service's main one from now on.
func (n *Notifier) Main(pid int) error { return n.send("MAINPID=" + strconv.Itoa(pid)) }

// Watch gives signs of life until ctx ends, as often as the manager wants them.
func (n *Notifier) Watch(ctx context.Context) {
	if n == nil || n.every == 0 {
		return
	}
	ticker := time.NewTicker(n.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = n.send("WATCHDOG=1") // one that does not come is what the manager looks for
		case <-ctx.Done():
			return
		}
	}
}

// send sends one message. It waits for nobody for long: the manager may be hung.
func (n *Notifier) send(text string) error {
	if n == nil || n.muted.Load() {
		return nil
	}
	if err := n.conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("the manager of services: %w", err)
	}
	if _, err := n.conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("the manager of services was not told %s: %w", strings.ReplaceAll(text, "\n", " "), err)
	}
	return nil
}
