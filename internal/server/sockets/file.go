package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options are what is said of a socket beside its address.
type Options struct {
	// Mode are the permissions of a unix socket's file; 0 for those that the umask leaves, or 0660
	// beside a group.
	Mode os.FileMode
	// Group is the name or the number of its group; "" for the process's.
	Group string
	// ReusePort lets other processes of the same user listen at the same address of TCP or UDP, among
	// which the kernel spreads what comes (SO_REUSEPORT).
	ReusePort bool
}

// listen opens a socket. The file of one that a process left is replaced.
func (o Options) listen(network, address string) (net.Listener, error) {
	group, err := o.group()
	if err != nil {
		return nil, err
	}
	if group >= 0 && o.Mode == 0 {
		o.Mode = 0o660
	}
	l, err := o.bind(network, address)
	if err != nil && network == "unix" && left(address) && os.Remove(address) == nil {
		l, err = o.bind(network, address)
	}
	if err != nil || network != "unix" || strings.HasPrefix(address, "@") {
		return l, err
	}
	if group >= 0 {
		if err := os.Chown(address, -1, group); err != nil {
			return nil, errors.Join(fmt.Errorf("the socket cannot be given to the group %s, of which this process must be a member: %w", o.Group, err), l.Close())
		}
	}
	if o.Mode != 0 {
		if err := os.Chmod(address, o.Mode); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// bind binds a socket. Where permissions are wanted, its file has none until it has those: the
// mode of a socket before bind(2) is its file's on Linux.
func (o Options) bind(network, address string) (net.Listener, error) {
	c := o.config()
	if network == "unix" && o.Mode != 0 {
		c.Control = func(_, _ string, raw syscall.RawConn) error { return raw.Control(hide) }
	}
	return c.Listen(context.Background(), network, address)
}

// config has sockets of TCP and UDP opened as the options say.
func (o Options) config() (c net.ListenConfig) {
	if o.ReusePort {
		c.Control = func(network, _ string, raw syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			var failed error
			err := raw.Control(func(fd uintptr) { failed = reusePort(fd) })
			return errors.Join(err, failed)
		}
	}
	return c
}

// group is the number of the file's group; -1 for none.
func (o Options) group() (int, error) {
	if o.Group == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(o.Group, 10, 31); err == nil {
		return int(n), nil //nolint:gosec // it has 31 bits
	}
	g, err := user.LookupGroup(o.Group)
	if err != nil {
		return 0, fmt.Errorf("socket_group: found %q, which is no group of this machine; expected its name or number", o.Group)
	}
	return strconv.Atoi(g.Gid)
}

// left reports whether a socket is what a process left that did not end well: nobody
// takes a connection.
func left(socket string) bool {
	info, err := os.Lstat(socket)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err == nil {
		_ = conn.Close() // somebody is there, and that is all there is to know
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
