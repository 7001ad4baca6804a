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

	"golang.org/x/sys/unix"
)

// File is what is said of the file of a unix socket.
type File struct {
	// Mode are its permissions; 0 for those that the umask leaves, or 0660 beside a group.
	Mode os.FileMode
	// Group is the name or the number of its group; "" for the process's.
	Group string
}

// listen opens a socket. The file of one that a process left is replaced.
func (f File) listen(network, address string) (net.Listener, error) {
	group, err := f.group()
	if err != nil {
		return nil, err
	}
	if group >= 0 && f.Mode == 0 {
		f.Mode = 0o660
	}
	l, err := f.bind(network, address)
	if err != nil && network == "unix" && left(address) && os.Remove(address) == nil {
		l, err = f.bind(network, address)
	}
	if err != nil || network != "unix" || strings.HasPrefix(address, "@") {
		return l, err
	}
	if group >= 0 {
		if err := os.Chown(address, -1, group); err != nil {
			return nil, errors.Join(fmt.Errorf("the socket cannot be given to the group %s, of which this process must be a member: %w", f.Group, err), l.Close())
		}
	}
	if f.Mode != 0 {
		if err := os.Chmod(address, f.Mode); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// bind binds a socket. Where permissions are wanted, its file has none until it has those: the
// mode of a socket before bind(2) is its file's on Linux.
func (f File) bind(network, address string) (net.Listener, error) {
	var c net.ListenConfig
	if network == "unix" && f.Mode != 0 {
		c.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), 0o600) }) //nolint:gosec // a file descriptor; other kernels have the umask alone
		}
	}
	return c.Listen(context.Background(), network, address)
}

// group is the number of the file's group; -1 for none.
func (f File) group() (int, error) {
	if f.Group == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(f.Group, 10, 31); err == nil {
		return int(n), nil //nolint:gosec // it has 31 bits
	}
	g, err := user.LookupGroup(f.Group)
	if err != nil {
		return 0, fmt.Errorf("socket_group: found %q, which is no group of this machine; expected its name or number", f.Group)
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
