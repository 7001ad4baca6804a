package sdnotify

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is who listens at NOTIFY_SOCKET.
func manager(t *testing.T) (socket string, next func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "t") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return socket, func() string {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 4096)
		n, err := c.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
}

func environ(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, pair := range pairs {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value, true
			}
		}
		return "", false
	}
}

// TestNotifier: Traffic 194: what is told, and that a muted notifier tells nothing.
func TestNotifier(t *testing.T) {
	socket, next := manager(t)
	n, err := from(environ("NOTIFY_SOCKET=" + socket))
	if err != nil {
		t.Fatal(err)
	}
	n.Mute()
	if err := n.Stopping(); err != nil {
		t.Error(err)
	}
	n.Unmute()
	for _, test := range []struct {
		tell func() error
		want string
	}{
		{n.Ready, `^READY=1$`},
		{n.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$`},
		{func() error { return n.Main(42) }, `^MAINPID=42$`},
		{n.Stopping, `^STOPPING=1$`},
	} {
		if err := test.tell(); err != nil {
			t.Error(err)
		}
		if got := next(); !regexp.MustCompile(test.want).MatchString(got) {
			t.Errorf("%q, want %s", got, test.want)
		}
	}
}

// TestWatchdog: Traffic 194: signs of life come in half of the time that the manager waits, if they
// are wanted of this process.
func TestWatchdog(t *testing.T) {
	socket, next := manager(t)
	n, err := from(environ("NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=2000", "WATCHDOG_PID="+strconv.Itoa(os.Getpid())))
	if err != nil || n.every != time.Millisecond {
		t.Fatal(n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Watch(ctx)
	}()
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Error(got)
		}
	}
	cancel()
	<-done
	other, err := from(environ("NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=2000", "WATCHDOG_PID=1"))
	if err != nil || other.every != 0 {
		t.Error(other, err)
	}
	other.Watch(t.Context()) // which returns
}

// TestNobody: without a manager nothing is told, and a bad environment is an error.
func TestNobody(t *testing.T) {
	n, err := from(environ())
	if n != nil || err != nil {
		t.Fatal(n, err)
	}
	n.Mute()
	n.Unmute()
	n.Watch(t.Context())
	for _, tell := range []func() error{n.Ready, n.Reloading, n.Stopping} {
		if err := tell(); err != nil {
			t.Error(err)
		}
	}
	socket, _ := manager(t)
	for want, env := range map[string][]string{
		`NOTIFY_SOCKET: found "x", expected the path`:      {"NOTIFY_SOCKET=x"},
		"NOTIFY_SOCKET: dial unixgram":                     {"NOTIFY_SOCKET=/nowhere/n"},
		`WATCHDOG_USEC: found "-1", expected microseconds`: {"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=-1"},
	} {
		if _, err := from(environ(env...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
